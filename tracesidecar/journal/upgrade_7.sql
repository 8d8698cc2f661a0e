-- From schema 6 to 7: what selects a segment stands in columns, and what is over stays as a row.
ALTER TABLE segment ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE segment ADD COLUMN inode INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN prefix BLOB NOT NULL DEFAULT x'';
ALTER TABLE segment ADD COLUMN rest INTEGER;
ALTER TABLE segment ADD COLUMN over INTEGER NOT NULL DEFAULT 0;
CREATE INDEX segment_by_inode ON segment (inode);
CREATE INDEX segment_by_prefix ON segment (prefix);
CREATE INDEX segment_at_rest ON segment (source, over, rest);
UPDATE meta SET value = CAST('7' AS BLOB) WHERE key = 'schema';
