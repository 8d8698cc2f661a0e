-- From schema 4 to 5: a loss may be one sink's, or of a number of bytes that nobody knows.
ALTER TABLE loss ADD COLUMN sink TEXT NOT NULL DEFAULT '';
ALTER TABLE loss ADD COLUMN counted INTEGER NOT NULL DEFAULT 1;
UPDATE meta SET value = CAST('5' AS BLOB) WHERE key = 'schema';
