/*
 * openapi.h: the description of the API, made from the route table and the checked-in schemas (openapi.json), so that it
 * cannot forget a call or a parameter.
 */
#ifndef SERVER_HTTP_OPENAPI_H
#define SERVER_HTTP_OPENAPI_H

#include <jansson.h>

/* A new OpenAPI 3.1 document for the caller; NULL without memory. */
json_t *openapi_document(const char *version);

#endif
