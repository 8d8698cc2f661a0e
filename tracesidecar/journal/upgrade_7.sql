-- From schema 6 to 7: a segment has landmarks, by which the first change of a file is found.
CREATE TABLE landmark (segment INTEGER PRIMARY KEY, body BLOB NOT NULL);
UPDATE meta SET value = CAST('7' AS BLOB) WHERE key = 'schema';
