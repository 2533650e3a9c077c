/*
 * handlers.h: every handler that the route table names; each lives in the file of its resource.
 */
#ifndef SERVER_HTTP_HANDLERS_H
#define SERVER_HTTP_HANDLERS_H

struct call;

void handle_enroll(struct call *call);
void handle_verify(struct call *call);
void handle_identify(struct call *call);
void handle_detect(struct call *call);
void handle_embed(struct call *call);

void handle_collections_list(struct call *call);
void handle_collection_get(struct call *call);
void handle_collection_put(struct call *call);
void handle_collection_patch(struct call *call);
void handle_collection_delete(struct call *call);

void handle_subjects_list(struct call *call);
void handle_subject_get(struct call *call);
void handle_subject_patch(struct call *call);
void handle_subject_delete(struct call *call);
void handle_subject_faces(struct call *call);

void handle_face_get(struct call *call);
void handle_face_delete(struct call *call);
void handle_face_image(struct call *call);

void handle_keys_list(struct call *call);
void handle_key_add(struct call *call);
void handle_key_revoke(struct call *call);

void handle_import(struct call *call);
void handle_export(struct call *call);
void handle_backup(struct call *call);
void handle_backups_list(struct call *call);
void handle_merge(struct call *call);
void handle_merge_undo(struct call *call);
void handle_job_items(struct call *call);
void handle_jobs_list(struct call *call);
void handle_job_get(struct call *call);
void handle_job_cancel(struct call *call);
void handle_audit_list(struct call *call);

void handle_model_upload(struct call *call);
void handle_models_list(struct call *call);
void handle_model_delete(struct call *call);
void handle_model_activate(struct call *call);
void handle_collection_rollback(struct call *call);
void handle_purify(struct call *call);
void handle_evaluate(struct call *call);
void handle_training(struct call *call);
void handle_generate(struct call *call);
void handle_job_picture(struct call *call);
void handle_job_findings(struct call *call);
void handle_job_log(struct call *call);
void handle_job_events(struct call *call);

void handle_info(struct call *call);
void handle_health(struct call *call);
void handle_ready(struct call *call);
void handle_metrics(struct call *call);
void handle_openapi(struct call *call);

#endif
