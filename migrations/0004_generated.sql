-- Pictures made from an embedding: what a job was asked for, and what it made.
CREATE TABLE generations (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    subject_id INTEGER REFERENCES subjects (id) ON DELETE CASCADE, -- whose; null: a given embedding
    embedding BLOB                      -- given, little-endian fp32; null: the subject's, or the job has ended
) STRICT;
CREATE INDEX generations_by_subject ON generations (subject_id) WHERE subject_id IS NOT NULL;

CREATE TABLE generated (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES generations (job_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,            -- from 1
    cosine REAL NOT NULL,               -- of the picture's embedding and what was asked for, under the same model
    crc32c INTEGER NOT NULL,            -- of png
    png BLOB NOT NULL,
    UNIQUE (job_id, number)
) STRICT;

-- A picture was made of all faces of its subject: it goes with the first of them that is erased.
CREATE TRIGGER generations_forget BEFORE DELETE ON faces BEGIN
    DELETE FROM generations WHERE subject_id = OLD.subject_id;
END;

-- A given embedding is needed until its job has ended, however that ends.
CREATE TRIGGER generations_end AFTER UPDATE OF state ON jobs WHEN NEW.state NOT IN ('queued', 'running') BEGIN
    UPDATE generations SET embedding = NULL WHERE job_id = NEW.id;
END;
