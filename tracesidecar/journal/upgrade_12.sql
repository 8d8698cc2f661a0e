-- From schema 11 to 12: what is known of files that are forgotten. The marks of landmarks are those of
-- single lines now.
DELETE FROM landmark;
CREATE TABLE former_file (
    name INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    record BLOB NOT NULL,
    reach INTEGER NOT NULL,
    landmarks BLOB
);
UPDATE meta SET value = CAST('12' AS BLOB) WHERE key = 'schema';
