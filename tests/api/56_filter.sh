#!/bin/bash
# 56_filter.sh: identify only among subjects whose metadata says what the filter wants.
. "$(dirname "$0")/lib.bash"

# vector ANGLE: a unit vector of 128 numbers in one plane, so that cosines are chosen.
vector() {
    jq -nc --argjson a "$1" '[($a | cos), ($a | sin)] + [range(126) | 0]'
}
enroll() {
    call POST /v1/enroll -H "$JSON" -d "{\"embedding\":$(vector "$2"),\"subject\":\"$1\",\"metadata\":$3}"
    [ "$STATUS" = 201 ] || echo "# enroll: $BODY"
}

# finds NAME FILTER LIST: whom a search at angle 0 lists, best first.
finds() {
    call POST /v1/identify -H "$JSON" -d "{\"embedding\":$(vector 0),\"top_k\":10,\"filter\":$2}"
    answers "$1" 200 "[.faces[0].candidates[].subject.name] == $3"
}

start
enroll anna 0.1 '{"site":"north","floor":3,"vip":true}'
enroll bert 0.2 '{"site":"north","floor":4}'
enroll carl 0.3 '{"site":"south","floor":3.0,"note":null}'
enroll dora 0.4 '{}'
finds "no filter wants nothing" '{}' '["anna", "bert", "carl", "dora"]'
finds "a text" '{"site":"north"}' '["anna", "bert"]'
finds "a number, however it is written" '{"floor":3}' '["anna", "carl"]'
finds "both" '{"floor":3,"site":"south"}' '["carl"]'
finds "one of a list" '{"site":["east","south"]}' '["carl"]'
finds "true is not 1" '{"vip":1}' '[]'
finds "true" '{"vip":true}' '["anna"]'
finds "null is not absent" '{"note":null}' '["carl"]'
finds "nobody" '{"site":"west"}' '[]'
finds "an empty list" '{"site":[]}' '[]'
call POST /v1/identify -H "$JSON" -d "{\"embedding\":$(vector 0),\"filter\":{\"site\":\"west\"}}"
answers "who is filtered out is unknown" 200 '.faces[0].decision == "unknown"'
call POST /v1/identify -H "$JSON" -d "{\"embedding\":$(vector 0.12),\"filter\":{\"floor\":4}}"
answers "and does not make a match ambiguous" 200 '.faces[0].decision == "match"'
call POST "/v1/identify?filter=%7B%22site%22%3A%22south%22%7D" -H "$JSON" -d "{\"embedding\":$(vector 0)}"
answers "the address may hold it" 200 '[.faces[0].candidates[].subject.name] == ["carl"]'

# ---- it follows the rows -------------------------------------------------------------------------------------------------
call GET "/v1/subjects?name=dora"
dora=$(printf '%s' "$BODY" | jq -r '.subjects[0].id')
call PATCH "/v1/subjects/$dora" -H "$JSON" -d '{"metadata":{"site":"north"}}'
finds "changed metadata counts at once" '{"site":"north"}' '["anna", "bert", "dora"]'
enroll emil 0.25 '{"site":"north"}'
finds "a new face too" '{"site":"north"}' '["anna", "bert", "emil", "dora"]'
call DELETE "/v1/subjects/$dora"
finds "a deleted one does not" '{"site":"north"}' '["anna", "bert", "emil"]'

# ---- wrong ones ----------------------------------------------------------------------------------------------------------
for row in '400 []' '400 "north"' '422 {"site":{"is":"north"}}' '422 {"site":[["north"]]}' \
    "422 $(jq -nc '[range(17) | {key: "k\(.)", value: 1}] | from_entries')"; do
    call POST /v1/identify -H "$JSON" -d "{\"embedding\":$(vector 0),\"filter\":${row#* }}"
    answers "refused: $(printf '%.30s' "${row#* }")" "${row%% *}" '.detail | length > 10'
done
stop
check "it stops" $?
echo "1..$count"
