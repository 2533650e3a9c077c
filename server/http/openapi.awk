# openapi.awk: a JSON file becomes a C text, line by line.
BEGIN {
    print "/* Generated from server/http/openapi.json. */"
    print "#include \"server/http/openapi_text.h\""
    print "const char openapi_text[] ="
}
{
    gsub(/\\/, "&&")
    gsub(/"/, "\\\"")
    printf "    \"%s\\n\"\n", $0
}
END { print "    ;" }
