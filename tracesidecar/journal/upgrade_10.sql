-- From schema 9 to 10: of each file, which of those of its name that begin alike it is.
CREATE TABLE file_identity (
    segment INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    folder TEXT NOT NULL,
    first BLOB NOT NULL
);
CREATE TABLE file_name (
    digest BLOB PRIMARY KEY,
    generations INTEGER NOT NULL,
    day INTEGER NOT NULL
) WITHOUT ROWID;
UPDATE meta SET value = CAST('10' AS BLOB) WHERE key = 'schema';
