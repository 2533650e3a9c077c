# summary.awk: the best of all turns of each way, as images a second and as a ratio to ours.  It ends with 1 if the convolutions of
# an IResNet-18 are not 1.5 times as fast as im2col with OpenBLAS.
{ print; fflush() }
($1 == "convs" || $1 == "step") && NF == 5 {
    key = $1 " " $2 " " $3
    if (!(key in seen)) {
        seen[key] = 1
        order[++n] = key
    }
    if (!((key, $4) in best)) {
        ways[key] = ways[key] " " $4
    }
    if ($5 > best[key, $4]) {
        best[key, $4] = $5
    }
}
END {
    for (i = 1; i <= n; i++) {
        split(order[i], part, " ")
        printf "%s of %s, batch 32, %d thread%s:", part[1] == "convs" ? "convolutions" : "whole steps", part[2], part[3],
            (part[3] > 1 ? "s" : "")
        count = split(ways[order[i]], way, " ")
        for (k = 1; k <= count; k++) {
            printf "%s %s %.1f images/s", (k > 1 ? "," : ""), way[k], best[order[i], way[k]]
            if (way[k] != "ours") {
                printf " (ours %.2f times)", best[order[i], "ours"] / best[order[i], way[k]]
            }
        }
        print ""
        if (order[i] ~ /^convs r18 / && best[order[i], "ours"] < 1.5 * best[order[i], "im2col+OpenBLAS"]) {
            print "FAILED: 1.5 times im2col+OpenBLAS are required"
            failed = 1
        }
    }
    exit failed
}
