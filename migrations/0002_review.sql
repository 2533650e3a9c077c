-- Faces that a review of the labels has set aside: kept, but neither searched nor trained on.
ALTER TABLE faces ADD COLUMN set_aside_by INTEGER NOT NULL DEFAULT 0; -- the job whose findings name it, 0: searched
CREATE INDEX faces_by_set_aside ON faces (set_aside_by) WHERE set_aside_by <> 0;

-- What the collection's settings were when it left this model for another, so that going back brings them back.
ALTER TABLE collection_models ADD COLUMN settings TEXT;

-- What a review found: a face that looks unlike the others of its subject.
CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    subject_id INTEGER NOT NULL REFERENCES subjects (id) ON DELETE CASCADE, -- whose it was when it was judged
    degrees REAL NOT NULL,              -- to the middle of the subject's other faces
    likely_id INTEGER REFERENCES subjects (id) ON DELETE SET NULL, -- whom it looks like, null: nobody
    likely_degrees REAL NOT NULL,
    UNIQUE (job_id, face_id)
) STRICT;
CREATE INDEX findings_by_face ON findings (face_id);
CREATE INDEX findings_by_subject ON findings (subject_id);
CREATE INDEX findings_by_likely ON findings (likely_id) WHERE likely_id IS NOT NULL;
