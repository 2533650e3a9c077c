#!/bin/bash
# The calls of the API, with real photos: three ways to send one, enroll, verify, identify, lists, erasure, restart.
. "$(dirname "$0")/lib.bash"
start

call GET /healthz
answers "alive" 200 '.status == "ok"'
call GET /readyz
answers "ready" 200 '.status == "ready"'
call GET /v1/info
answers "info names the models" 200 '(.models | map(.role) | sort) == ["detector", "recognizer"] and (.kernels | IN("portable", "neon", "avx2", "avx512", "vnni", "vbmi")) and .kernel_variants.gemm_int != null'
answers "info names OpenBLAS's kernels, which are not the oldest ones where the processor has better" 200 '(.openblas | length) > 0 and (.kernels == "portable" or (.openblas | ascii_downcase | IN("prescott", "nehalem", "core2", "generic") | not))'
call GET /openapi.json
answers "the description" 200 '.openapi == "3.1.0" and .paths["/v1/enroll"].post != null'

call POST "/v1/enroll?subject=bush" -H "$JPEG" --data-binary @"$ONE"
answers "enroll: the photo is the body" 201 '.subject.name == "bush" and .created and (.faces | length) == 1 and (.faces[0].box | length) == 4'
BUSH=$(jq -r .subject.id <<<"$BODY")
FACE=$(jq -r '.faces[0].id' <<<"$BODY")
call POST /v1/enroll -F image=@"$OTHER" -F subject=powell -F 'metadata={"unit": 7}'
answers "enroll: multipart" 201 '.subject.name == "powell"'
POWELL=$(jq -r .subject.id <<<"$BODY")
base64 -w0 "$ONE2" | sed 's/.*/{"image":"data:image\/jpeg;base64,&","subject":"'"$BUSH"'","external_id":"b-2"}/' >"$TEST_TMP/two.json"
call POST /v1/enroll -H "$JSON" --data-binary @"$TEST_TMP/two.json"
answers "enroll: base64 in JSON, the subject by its id" 201 ".subject.id == \"$BUSH\" and (.created | not)"

call POST /v1/verify -F image=@"$ONE2" -F subject=bush
answers "verify: yes" 200 '.match and .cosine > 0.5 and .threshold == 0.4 and .fmr == null and .calibrated == false'
call POST /v1/verify -F image=@"$ONE2" -F subject=powell
answers "verify: no" 200 '(.match | not) and .cosine < 0.3'
call POST /v1/verify -F image=@"$ONE2" -F face_id="$FACE"
answers "verify: an enrolled face" 200 '.match'
call POST /v1/verify -F image=@"$ONE" -F image2=@"$ONE2"
answers "verify: two photos" 200 '.match and .face2 != null'

call POST "/v1/identify?top_k=1" -H "$JPEG" --data-binary @"$OTHER"
answers "identify: a match" 200 '.faces[0].decision == "match" and .faces[0].candidates[0].subject.name == "powell"'
call POST "/v1/identify?faces=all" -H "$JPEG" --data-binary @"$GROUP"
answers "identify: six strangers" 200 '(.faces | length) == 6 and (.faces | all(.decision == "unknown")) and .photo.width > 300'
call POST /v1/identify -H "$JSON" -d "{\"face_id\":\"$FACE\"}"
answers "identify: an enrolled face, which is no candidate itself" 200 ".faces[0].decision == \"match\" and (.faces[0].candidates | all(.face_id != \"$FACE\"))"

call POST "/v1/embed?faces=largest" -H "$JPEG" --data-binary @"$ONE"
answers "embed" 200 '.dim == 128 and (.faces[0].embedding | length) == 128'
EMBEDDING=$(jq -c '.faces[0].embedding' <<<"$BODY")
call POST /v1/identify -H "$JSON" -d "{\"embedding\":$EMBEDDING}"
answers "identify: by embedding" 200 '.faces[0].candidates[0].subject.name == "bush" and .faces[0].candidates[0].cosine > 0.9999'
call POST /v1/enroll -H "$JSON" -d "{\"embedding\":$EMBEDDING,\"subject\":\"copy\"}"
answers "enroll: by embedding" 201 '.faces[0].box == null'
COPY=$(jq -r .subject.id <<<"$BODY")
call POST /v1/identify -H "$JSON" -d "{\"embedding\":$EMBEDDING}"
answers "identify: two people with one face are ambiguous" 200 '.faces[0].decision == "ambiguous"'
call DELETE "/v1/subjects/$COPY"
answers "the copy goes" 200 '.deleted.faces == 1 and .deleted.embeddings == 1'
call POST /v1/detect -F image=@"$GROUP"
answers "detect" 200 '(.faces | length) == 6 and .faces[0].embedding == null'

call GET "/v1/subjects?limit=1"
answers "subjects: a page" 200 '(.subjects | length) == 1 and .next_page_token != null'
call GET "/v1/subjects?limit=1&page_token=$(jq -r .next_page_token <<<"$BODY")"
answers "subjects: the next page" 200 '.subjects[0].name == "powell" and .subjects[0].metadata == {"unit": 7}'
call GET "/v1/subjects?name=bush"
answers "subjects: by name" 200 ".subjects[0].id == \"$BUSH\" and .subjects[0].faces == 2 and .subjects[0].external_id == \"b-2\""
call PATCH "/v1/subjects/$POWELL" -H "$JSON" -d '{"name":"colin","metadata":null}'
answers "a subject is renamed" 200 '.name == "colin" and .metadata == {}'
call PATCH "/v1/subjects/$POWELL" -H "$JSON" -d '{"name":"bush"}'
answers "two of one name are refused" 409 '.code == "name_taken"'
call GET "/v1/subjects/$BUSH/faces"
answers "the faces of a subject" 200 '(.faces | length) == 2 and (.faces | all(.has_crop))'
call GET "/v1/faces/$FACE"
answers "a face" 200 '.subject.name == "bush"'
curl -s -H "$AUTH" -o "$TEST_TMP/crop" "$URL/v1/faces/$FACE/image"
check "the crop is a WebP" "$([ "$(head -c 4 "$TEST_TMP/crop")" = RIFF ]; echo $?)"
call GET "/v1/faces/$FACE/image?kind=photo"
answers "a photo that was not kept" 404 '.code == "no_image_kept"'

call PUT /v1/collections/staff -H "$JSON" -d '{"keep":"none","threshold":0.5}'
answers "a collection is made" 201 '.name == "staff" and .keep == "none" and .threshold == 0.5'
call PUT /v1/collections/staff -H "$JSON" -d '{"keep":"none"}'
answers "and put again" 200 '.name == "staff"'
call PATCH /v1/collections/staff -H "$JSON" -d '{"threshold":null,"retention_days":30}'
answers "and changed" 200 '.threshold == null and .retention_days == 30'
call POST "/v1/enroll?subject=bush&collection=staff" -H "$JPEG" --data-binary @"$ONE"
answers "the same name in another collection is another subject" 201 ".subject.id != \"$BUSH\""
call GET /v1/collections
answers "collections" 200 '(.collections | map(.name) | sort) == ["default", "staff"]'
call DELETE /v1/collections/staff
answers "a collection is erased" 200 '.what == "collection" and .deleted.faces == 1'
call GET /v1/collections/staff
answers "and gone" 404 '.code == "no_such_collection"'

call POST /v1/admin/keys -H "$JSON" -d '{"name":"door","scopes":["identify"],"expires_in_s":3600}'
answers "a key" 201 '.scopes == ["identify"] and (.secret | length) > 20 and .expires_at != null'
DOOR=$(jq -r .secret <<<"$BODY")
DOOR_ID=$(jq -r .id <<<"$BODY")
check "opens its scope" "$([ "$(curl -s -o /dev/null -w '%{http_code}' -H "x-api-key: $DOOR" "$URL/v1/subjects")" = 200 ]; echo $?)"
call DELETE "/v1/admin/keys/$DOOR_ID"
answers "a key is revoked" 200 '.revoked_at != null'
check "and opens nothing" "$([ "$(curl -s -o /dev/null -w '%{http_code}' -H "x-api-key: $DOOR" "$URL/v1/subjects")" = 401 ]; echo $?)"
call GET /v1/admin/keys
answers "keys show no secret" 200 '(.keys | length) == 2 and (.keys | all(.secret == null))'
call GET /v1/admin/jobs
answers "jobs" 200 '.jobs == []'
call GET /v1/admin/audit
answers "the audit log holds ids, not names" 200 '(.entries | map(.action) | index("face.enroll")) != null and (tostring | contains("bush") | not)'

check "the metrics count subjects" "$(metric_is arcfaced_subjects "$(curl -s -H "$AUTH" "$URL/v1/collections" | jq '[.collections[].subjects] | add // 0')"; echo $?)"
stop
check "SIGTERM ends with status 0" $?
start
call POST /v1/verify -F image=@"$ONE2" -F subject=bush
answers "after a restart: still known" 200 '.match'
call DELETE "/v1/faces/$FACE"
answers "a face is erased" 200 '.what == "face" and .deleted.faces == 1 and .deleted.crops == 1'
call DELETE "/v1/subjects/$BUSH"
answers "a subject is erased" 200 '.deleted.faces == 1 and .deleted.subjects == 1'
call POST /v1/identify -H "$JPEG" --data-binary @"$ONE2"
answers "and never found again" 200 '.faces[0].decision == "unknown"'
call DELETE "/v1/subjects/$BUSH"
answers "and gone" 404 '.code == "no_such_subject"'
check "no key, name or vector in the logs" "$(grep -q -e "$KEY" -e bush -e '0\.[0-9]*,0\.[0-9]*' "$TEST_TMP"/log.*; [ $? -eq 1 ]; echo $?)"
stop
check "ends again" $?
