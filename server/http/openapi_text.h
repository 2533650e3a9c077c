/* openapi_text.h: openapi.json, compiled in by openapi.mk. */
#ifndef SERVER_HTTP_OPENAPI_TEXT_H
#define SERVER_HTTP_OPENAPI_TEXT_H

extern const char openapi_text[];

#endif
