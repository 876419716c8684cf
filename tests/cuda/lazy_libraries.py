#!/usr/bin/env python3
"""Makes static archives that stand in for CUDA's libraries when a program is linked.

    lazy_libraries.py CUDARC_SOURCES FOLDER

For each library (libcuda, libcublas, ...) an archive `lib*.a` is written to FOLDER. It defines
every function that the crate cudarc declares of it. The first call of one opens the real library
and looks the function up there; where there is none, functions return the library's own error code
for that, and functions that return a text return one that says what is missing. A program that is
linked against these needs no CUDA library to start. x86-64 Linux alone.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Name: (cudarc's module, what its functions begin with, files to open in this order, what a
# function returns where the library is missing).
LIBRARIES = {
    "cuda": ("driver", "cu[A-Z]", ["libcuda.so.1"], 100),  # CUDA_ERROR_NO_DEVICE
    "cublas": ("cublas", "cublas", ["libcublas.so.13", "libcublas.so.12"], 1),
    "cublasLt": ("cublaslt", "cublasLt", ["libcublasLt.so.13", "libcublasLt.so.12"], 1),
    "curand": ("curand", "curand", ["libcurand.so.10"], 203),
    "nvrtc": ("nvrtc", "nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12"], 11),
}

OPENER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

static const char *const function_names[] = {{ {names} }};
static const char *const files[] = {{ {files} }};
__attribute__((visibility("hidden"))) void *found_{library}[{count}];

static long return_error(void) {{ return {code}; }}
static const char *return_text(void) {{
    return "lib{library} was not found: add its folder to LD_LIBRARY_PATH";
}}

static void *open_library(void) {{
    static void *handle;
    static int tried;
    if (!__atomic_load_n(&tried, __ATOMIC_ACQUIRE)) {{
        void *opened = NULL;
        for (size_t i = 0; opened == NULL && i < sizeof files / sizeof *files; i++)
            opened = dlopen(files[i], RTLD_NOW | RTLD_GLOBAL);
        __atomic_store_n(&handle, opened, __ATOMIC_RELAXED);
        __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
    }}
    return __atomic_load_n(&handle, __ATOMIC_RELAXED);
}}

__attribute__((visibility("hidden"), used)) void *find_{library}(long number, long returns_text) {{
    void *handle = open_library();
    void *function = handle ? dlsym(handle, function_names[number]) : NULL;
    if (function == NULL) function = returns_text ? (void *)return_text : (void *)return_error;
    __atomic_store_n(&found_{library}[number], function, __ATOMIC_RELEASE);
    return function;
}}
"""

# What a call may carry in registers, beside the stack that is left alone.
WHOLE_REGISTERS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r10"]


def trampolines(library: str, functions: list[tuple[str, bool]]) -> str:
    """One jump for each function; a common part finds its target at the first call.

    The common part is entered with two numbers on the stack above the return address, 24 bytes
    in all. Eight registers (64) and eight vectors (128) go below them; 8 bytes more keep the
    stack a multiple of 16 for the call.
    """
    lines = [".text", f"find_and_jump_{library}:"]
    lines += [f"    push %{register}" for register in WHOLE_REGISTERS]
    lines += ["    sub $136, %rsp"]
    lines += [f"    movups %xmm{i}, {16 * i}(%rsp)" for i in range(8)]
    lines += ["    mov 200(%rsp), %rdi", "    mov 208(%rsp), %rsi", f"    call find_{library}"]
    lines += ["    mov %rax, %r11"]
    lines += [f"    movups {16 * i}(%rsp), %xmm{i}" for i in range(8)]
    lines += ["    add $136, %rsp"]
    lines += [f"    pop %{register}" for register in reversed(WHOLE_REGISTERS)]
    lines += ["    add $16, %rsp", "    jmp *%r11"]
    for number, (name, returns_text) in enumerate(functions):
        lines += [
            f".globl {name}",
            f".type {name}, @function",
            f"{name}:",
            f"    mov found_{library}+{8 * number}(%rip), %r11",
            "    test %r11, %r11",
            "    je 1f",
            "    jmp *%r11",
            f"1:  push ${int(returns_text)}",
            f"    push ${number}",
            f"    jmp find_and_jump_{library}",
        ]
    return "\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""])


def declared_functions(source: str, prefix: str) -> list[tuple[str, bool]]:
    """The names that begin with `prefix`, and whether a function returns a text."""
    declaration = rf"(?ms)^\s*(?:pub unsafe )?fn ({prefix}\w*)\s*\((.*?)\)\s*(?:->\s*(.*?))?\s*[;{{]"
    functions = {}
    for name, _, result in re.findall(declaration, source):
        functions[name] = "c_char" in result
    return sorted(functions.items())


def main() -> None:
    cudarc, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for library, (module, prefix, files, code) in LIBRARIES.items():
        source = (cudarc / "src" / module / "sys" / "mod.rs").read_text()
        functions = declared_functions(source, prefix)
        opener = OPENER.format(
            library=library,
            names=", ".join(f'"{name}"' for name, _ in functions),
            files=", ".join(f'"{file}"' for file in files),
            count=len(functions),
            code=code,
        )
        with tempfile.TemporaryDirectory() as work:
            c, s, joined = Path(work, "open.c"), Path(work, "jump.S"), Path(work, "library.o")
            c.write_text(opener)
            s.write_text(trampolines(library, functions))
            objects = []
            for file in (c, s):
                objects.append(str(file.with_suffix(".o")))
                subprocess.check_call(["gcc", "-O2", "-fPIC", "-c", str(file), "-o", objects[-1]])
            # One object, so that the hidden names of the two find each other.
            subprocess.check_call(["ld", "-r", *objects, "-o", str(joined)])
            archive = folder / f"lib{library}.a"
            archive.unlink(missing_ok=True)
            subprocess.check_call(["ar", "rcs", str(archive), str(joined)])
        print(f"lib{library}.a: {len(functions)} functions")


main()
