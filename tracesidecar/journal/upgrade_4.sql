-- From schema 3 to 4: a segment has what the daemon did to protect its file from deletion.
ALTER TABLE segment ADD COLUMN protection TEXT NOT NULL DEFAULT '';
ALTER TABLE segment ADD COLUMN can_link INTEGER;
UPDATE meta SET value = CAST('4' AS BLOB) WHERE key = 'schema';
