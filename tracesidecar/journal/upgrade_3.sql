-- from schema 2 to 3: an offset has what the interpreter carries there
ALTER TABLE offset ADD COLUMN state BLOB NOT NULL DEFAULT x'';
UPDATE meta SET value = CAST('3' AS BLOB) WHERE key = 'schema';
