# faiss.mk: how FAISS's C interface is found (included by the Makefile).
#
# Debian 13's package holds libfaiss_c.a.  Debian 12's does not; there docker/faiss-c builds it once, into a folder of this
# cache that is named after the package's version, so that an upgrade never links an old one.
FAISS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/arcfaced
export FAISS_CACHE
FAISS_CFLAGS :=
# FAISS_ARCH: whose library, for packages of several architectures may be installed.
FAISS_ARCH ?= $(shell dpkg --print-architecture 2>/dev/null)
export FAISS_ARCH
FAISS_VERSION := $(shell dpkg-query -W -f='$${Version}-$${Architecture}' libfaiss-dev:$(FAISS_ARCH) 2>/dev/null)
LIBS_index := -L$(FAISS_CACHE)/faiss-$(FAISS_VERSION) -lfaiss_c -lfaiss -l:libopenblas.a -lstdc++ -lgomp
