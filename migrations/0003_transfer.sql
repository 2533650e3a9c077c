-- What became of each part of an import.
CREATE TABLE import_items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,            -- of the entry of the archive, or of the line, from 1
    name TEXT NOT NULL,                 -- path in the archive, '' for a line
    outcome TEXT NOT NULL,              -- enrolled, no_face, several_faces, low_quality, duplicate …
    sentence TEXT NOT NULL,
    face_id INTEGER REFERENCES faces (id) ON DELETE SET NULL, -- the first of the photo's
    UNIQUE (job_id, number)
) STRICT;
CREATE INDEX import_items_by_face ON import_items (face_id) WHERE face_id IS NOT NULL;

-- The path names the person.  The row itself stays: without it, an import that goes on would enroll the erased face again.
CREATE TRIGGER import_items_forget BEFORE DELETE ON faces BEGIN
    UPDATE import_items SET name = '', sentence = '', outcome = 'erased', face_id = NULL WHERE face_id = OLD.id;
END;

-- Subjects that were merged into another, so that this can be undone; erased with the one that has their faces.
CREATE TABLE merges (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES subjects (id) ON DELETE CASCADE, -- who has the faces at present
    into_uuid TEXT NOT NULL,            -- who got them; merged away itself if it is not the owner's
    from_uuid TEXT NOT NULL,
    from_name TEXT NOT NULL,
    from_external_id TEXT,
    from_metadata TEXT NOT NULL,
    from_created_ms INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX merges_by_owner ON merges (owner_id);

CREATE TABLE merged_faces (
    merge_id INTEGER NOT NULL REFERENCES merges (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    PRIMARY KEY (merge_id, face_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX merged_faces_by_face ON merged_faces (face_id);
