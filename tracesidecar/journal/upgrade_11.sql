-- From schema 10 to 11: which sources each sink takes.
CREATE TABLE sink_source (
    sink TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (sink, source)
) WITHOUT ROWID;
UPDATE meta SET value = CAST('11' AS BLOB) WHERE key = 'schema';
