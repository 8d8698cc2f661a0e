-- From schema 1 to 2: rejected lines may be sealed, found gone, and redriven.
ALTER TABLE quarantine RENAME TO former_quarantine;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    segment INTEGER NOT NULL,
    sink TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    source TEXT NOT NULL,
    path BLOB NOT NULL,
    generation INTEGER NOT NULL,
    reason TEXT NOT NULL,
    digest BLOB,
    at REAL NOT NULL,
    sealed TEXT NOT NULL DEFAULT '',
    sealed_at INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0,
    UNIQUE (segment, start, sink)
);
INSERT INTO quarantine
    (id, segment, sink, start, end, source, path, generation, reason, digest, at)
    SELECT id, segment, sink, start, end, source, path, generation, reason, digest, at
    FROM former_quarantine;
DROP TABLE former_quarantine;
CREATE TABLE redrive (
    entry INTEGER NOT NULL REFERENCES quarantine (id) ON DELETE CASCADE,
    sink TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (entry, sink)
) WITHOUT ROWID;
UPDATE meta SET value = CAST('2' AS BLOB) WHERE key = 'schema';
