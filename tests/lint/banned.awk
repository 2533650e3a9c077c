# banned.awk: calls that this project does not make, and calls that belong in one place.
# A script rather than a header of macros, because our files include their own system headers and macros would break those.
function report(what) {
    printf "%s:%d: %s: %s\n", FILENAME, FNR, what, $0
    bad = 1
}
FNR == 1 { in_comment = 0 }
{
    line = $0
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    if (in_comment) { if (line !~ /\*\//) next; sub(/.*\*\//, "", line); in_comment = 0 }
    gsub(/\/\*.*\*\//, "", line)
    if (line ~ /\/\*/) { sub(/\/\*.*/, "", line); in_comment = 1 }
    sub(/\/\/.*/, "", line)

    if (line ~ /(^|[^_a-zA-Z0-9])(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|setjmp|longjmp|atoi|atol|atof|system|popen|tmpnam|mktemp|rand|srand)[ ]*\(/)
        report("never called here")
    if (FILENAME !~ /^core\/base\// && line ~ /(^|[^_a-zA-Z0-9])(malloc|calloc|realloc|free|strdup|strndup|asprintf|posix_memalign|aligned_alloc)[ ]*\(/)
        if ($0 !~ /foreign heap/) report("the heap belongs to core/base/mem.c")
    if (FILENAME != "server/main.c" && line ~ /(^|[^_a-zA-Z0-9])(exit|_exit|abort)[ ]*\(/)
        report("only main ends the process")
    if (FILENAME !~ /^server\/daemon\/config\.c$/ && line ~ /(^|[^_a-zA-Z0-9])(getenv|secure_getenv|setenv|putenv)[ ]*\(/)
        if ($0 !~ /before main/) report("only the settings read the environment")
    if (FILENAME !~ /^server\// && line ~ /(^|[^_a-zA-Z0-9])(printf|puts|putchar|fprintf|perror|vprintf|syslog)[ ]*\(/)
        report("only the server prints")
}
END { exit bad }
