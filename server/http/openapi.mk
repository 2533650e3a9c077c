# openapi.mk: the API's schemas, compiled in as one text.
GEN_OPENAPI := $(B)/gen/openapi_text.c
$(GEN_OPENAPI): server/http/openapi.json server/http/openapi.awk
	@mkdir -p $(@D)
	$(Q)awk -f server/http/openapi.awk $< > $@.tmp && mv $@.tmp $@
$(B)/lib/libhttp.a: $(B)/obj/gen/openapi_text.o
