-- From schema 7 to 8: a segment has landmarks, by which the first change of a file is found.
CREATE TABLE landmark (segment INTEGER PRIMARY KEY, body BLOB NOT NULL);
UPDATE meta SET value = CAST('8' AS BLOB) WHERE key = 'schema';
