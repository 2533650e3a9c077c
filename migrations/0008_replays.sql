-- Requests that were carried out under an Idempotency-Key: asked again, they are answered as they were then.
CREATE TABLE replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    actor TEXT NOT NULL,                -- id of the API key that asked
    key_hash BLOB NOT NULL,             -- SHA-256 of the Idempotency-Key
    route TEXT NOT NULL,                -- POST /v1/enroll
    request_hash BLOB,                  -- of the Idempotency-Key's text and all that was asked; null: erased
    status INTEGER NOT NULL,
    location TEXT NOT NULL,             -- the header; '': none
    answer BLOB,                        -- the body; null: erased with somebody whom it told of
    subject_id INTEGER REFERENCES subjects (id) ON DELETE SET NULL, -- whom it tells of; null: nobody, or by faces
    at_ms INTEGER NOT NULL,
    UNIQUE (actor, key_hash)
) STRICT;
CREATE INDEX replays_by_at ON replays (at_ms);
CREATE INDEX replays_by_subject ON replays (subject_id) WHERE subject_id IS NOT NULL;

-- Whose faces an answer tells of.
CREATE TABLE replay_faces (
    replay_id INTEGER NOT NULL REFERENCES replays (id) ON DELETE CASCADE,
    face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    PRIMARY KEY (replay_id, face_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_faces_by_face ON replay_faces (face_id);

-- An answer goes with the first of those whom it tells of.  The row itself stays: without it, the request would be carried out again
-- and bring back what was erased.
CREATE TRIGGER replays_forget_faces BEFORE DELETE ON faces BEGIN
    UPDATE replays SET request_hash = NULL, location = '', answer = NULL
        WHERE id IN (SELECT replay_id FROM replay_faces WHERE face_id = OLD.id);
END;
CREATE TRIGGER replays_forget_subjects BEFORE DELETE ON subjects BEGIN
    UPDATE replays SET request_hash = NULL, location = '', answer = NULL, subject_id = NULL WHERE subject_id = OLD.id;
END;
