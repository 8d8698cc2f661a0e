-- From schema 5 to 6: the metrics' counters go on after a restart.
CREATE TABLE counter (
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, labels)
) WITHOUT ROWID;
UPDATE meta SET value = CAST('6' AS BLOB) WHERE key = 'schema';
