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
# What C++ takes from the heap and gives back goes through faiss_memory.c.
FAISS_HEAP := _Znwm _Znam _ZdlPv _ZdlPvm _ZdaPv _ZdaPvm _ZdlPvSt11align_val_t _ZdlPvmSt11align_val_t _ZdaPvSt11align_val_t
# libgfortran: FAISS's factory reaches parts of OpenBLAS that are written in Fortran; their own package depends on it.
LIBS_index := -L$(FAISS_CACHE)/faiss-$(FAISS_VERSION) $(FAISS_HEAP:%=-Wl,--wrap=%) \
              -lfaiss_c -lfaiss -l:libopenblas.a -lstdc++ -lgomp -l:libgfortran.so.5
