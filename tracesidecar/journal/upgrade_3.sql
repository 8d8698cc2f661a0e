-- From schema 2 to 3: an offset has the interpreter's state at that point.
ALTER TABLE offset ADD COLUMN state BLOB NOT NULL DEFAULT x'';
UPDATE meta SET value = CAST('3' AS BLOB) WHERE key = 'schema';
