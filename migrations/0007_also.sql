-- What an import enrolled although another subject had the face already: the item, and that subject's face.
CREATE TABLE import_also (
    item_id INTEGER NOT NULL REFERENCES import_items (id) ON DELETE CASCADE,
    other_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,
    cosine REAL,                        -- null: the collection's model had no embedding of that face
    PRIMARY KEY (item_id, other_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX import_also_by_other ON import_also (other_id);

-- An item that forgets its face forgets what the face was like, too.
DROP TRIGGER import_items_forget;
CREATE TRIGGER import_items_forget BEFORE DELETE ON faces BEGIN
    DELETE FROM import_also WHERE item_id IN (SELECT id FROM import_items WHERE face_id = OLD.id);
    UPDATE import_items SET name = '', sentence = '', outcome = 'erased', face_id = NULL WHERE face_id = OLD.id;
END;
