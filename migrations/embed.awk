# embed.awk: turns migrations/NNNN_name.sql, given in order, into C: const struct migration migrations[].
# The numbers must run 1, 2, 3 ... without gaps.  Other files (schema.sql) are passed over.
function fail(sentence) {
    print FILENAME ": " sentence > "/dev/stderr"
    failed = 1
    exit 1
}
function quoted(text,    i, c, out) { # a loop: replacement strings need different escaping in different awks
    out = ""
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        out = out ((c == "\"" || c == "\\") ? "\\" c : c)
    }
    return "\"" out "\\n\""
}
BEGIN {
    print "/* Made by migrations/embed.awk. */"
    print "#include \"server/store/migrations_private.h\""
    print "const struct migration migrations[] = {"
}
FNR == 1 {
    base = FILENAME
    sub(/.*\//, "", base)
    wanted = (base ~ /^[0-9][0-9][0-9][0-9]_[a-z0-9_]+\.sql$/)
    if (!wanted && base != "schema.sql")
        fail("a migration is called NNNN_name.sql")
    if (wanted) {
        if (count > 0)
            print "    },"
        count++
        if (substr(base, 1, 4) + 0 != count)
            fail("number " count " was expected here")
        printf "    {%d, \"%s\",\n", count, base
    }
}
wanted { print "     " quoted($0) }
END {
    if (failed)
        exit 1
    if (count == 0)
        fail("no migration")
    print "    },"
    print "};"
    print "const int migrations_count = " count ";"
}
