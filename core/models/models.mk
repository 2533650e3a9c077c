# models.mk: the files of core/models become bytes of the program (included by the Makefile).
#
# An assembler file names each file's bytes: that costs the compiler nothing, where a C array of megabytes costs it seconds.
# A file that is not there is nothing between its labels.
BUILT_IN := detector recognizer
GEN_BUILT_IN := $(B)/gen/built_in_bytes.S

$(GEN_BUILT_IN): core/models/models.mk core/models
	@mkdir -p $(@D)
	@{ for name in $(BUILT_IN); do for kind in onnx json; do \
	    file=core/models/$$name.onnx; [ $$kind = onnx ] || file=$$file.json; \
	    label=built_in_$${name}_$$kind; \
	    printf '    .section .rodata\n    .balign 64\n    .global %s, %s_end\n%s:\n' $$label $$label $$label; \
	    [ ! -f $$file ] || printf '    .incbin "%s"\n' $$file; \
	    printf '%s_end:\n    .byte 0\n' $$label; \
	done; done; printf '    .section .note.GNU-stack,"",%%progbits\n'; } > $@.tmp && mv $@.tmp $@
$(B)/obj/gen/built_in_bytes.o: $(GEN_BUILT_IN) $(sort $(wildcard core/models/*.onnx core/models/*.json)) $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<
.PHONY: train-default-models
train-default-models: $(B)/arcfaced ## make the models inside the program again, into build/models: hours, resumable (ARCFACED_SHARED=)
	@core/models/make-models $(B)/arcfaced build/models $(BUILT_IN)

$(B)/lib/libmodels.a: $(B)/obj/gen/built_in_bytes.o
