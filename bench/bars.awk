# What is asked of the speed, and what was reached. Takes cells.awk before it.
# Looks at the cells of one line: functions x types x shapes. what: whose time, against best peer, or against `other`.
function scan(functions, types, shapes, what, other, here,    i, j, k, nf, nt, nsh, F, T, S, ratio, base, name) {
    nf = split(functions, F, " "); nt = split(types, T, " "); nsh = split(shapes, S, " ")
    for (i = 1; i <= nf; i++) for (j = 1; j <= nt; j++) for (k = 1; k <= nsh; k++) {
        if (!((F[i], T[j], S[k], what) in us)) continue
        if (other == "") { base = best(F[i], T[j], S[k], here); name = best_name }
        else { base = us[F[i], T[j], S[k], other]; name = other }
        if (base == 0) continue
        ratio = base / us[F[i], T[j], S[k], what]
        cells++
        logs += log(ratio)
        if (worst == 0 || ratio < worst) { worst = ratio; worst_cell = F[i] "/" T[j] "/" S[k]; worst_name = name }
        if (ratio < least) missed++
    }
}
function start(atleast) { worst = cells = missed = logs = 0; worst_cell = worst_name = ""; least = atleast }
function line(title, goal, value) {
    if (cells == 0) { printf "| %s | %.2f | %s | - | - | - | not measured |\n", title, least, goal; return }
    printf "| %s | %.2f | %s | %.2f | %s | %s | %s |\n", title, least, goal, value, worst_cell, worst_name,
           missed == 0 ? "met" : sprintf("not met, %d of %d cells", missed, cells)
}
function bar(title, atleast, goal, functions, types, shapes, what, other) {
    start(atleast)
    scan(functions, types, shapes, what == "" ? "safe_softmax" : what, other)
    line(title, goal, worst)
}

# Largest over smallest time per element of a series.
function flat(title, atmost, table, types, from,    i, nt, T, S, n, k, v, lo, hi, at, q, all) {
    nt = split(types, T, " ")
    all = 0; q = ""; bad = 0
    for (i = 1; i <= nt; i++) {
        n = split(shapes_of[table, T[i]], S, " "); lo = hi = 0
        for (k = 1; k <= n; k++) {
            split(S[k], at, "x")
            if (at[2] < from) continue
            v = ns[table, T[i], S[k], "safe_softmax"]
            if (lo == 0 || v < lo) { lo = v; low = S[k] }
            if (v > hi) { hi = v; high = S[k] }
        }
        if (lo == 0) continue
        if (hi / lo > all) { all = hi / lo; q = T[i] ": " high " over " low }
        if (hi / lo > atmost) bad++
    }
    ends(title, atmost, all, q, bad, nt)
}
function ends(title, atmost, value, where, bad, n) {
    if (value == 0) printf "| %s | at most %.2f | | - | - | | not measured |\n", title, atmost
    else printf "| %s | at most %.2f | | %.2f | %s | | %s |\n", title, atmost, value, where, bad == 0 ? "met" : sprintf("not met, %d of %d", bad, n)
}
# Both cells of pairs, per element: `pairs` as "a:b c:d", each against the other.
function pairs_of(title, atmost, table, types, pairs, oneway,    i, j, nt, np, T, P, ab, x, y, r, all, q, bad, n) {
    nt = split(types, T, " "); np = split(pairs, P, " ")
    all = bad = n = 0
    for (i = 1; i <= nt; i++) for (j = 1; j <= np; j++) {
        split(P[j], ab, ":")
        if (!((table, T[i], ab[1], "safe_softmax") in ns) || !((table, T[i], ab[2], "safe_softmax") in ns)) continue
        x = ns[table, T[i], ab[1], "safe_softmax"]; y = ns[table, T[i], ab[2], "safe_softmax"]
        r = y / x
        if (!oneway && r < 1) r = 1 / r
        n++
        if (r > all) { all = r; q = T[i] ": " ab[2] " over " ab[1] }
        if (r > atmost) bad++
    }
    ends(title, atmost, all, q, bad, n)
}
# Neighbouring lengths in the table odd.
function neighbours(type,    S, n, k, at, length_of, result, rows) {
    n = split(shapes_of["odd", type], S, " ")
    result = ""
    for (k = 1; k <= n; k++) { split(S[k], at, "x"); length_of[at[2]] = S[k] }
    for (k = 1; k <= n; k++) { split(S[k], at, "x"); if ((at[2] + 1) in length_of) result = result " " S[k] ":" length_of[at[2] + 1] }
    return result
}
function offsets(type, from, to,    S, n, k, base, result) {
    n = split(shapes_of["misaligned", type], S, " ")
    result = ""
    for (k = 1; k <= n; k++) if (S[k] !~ /-at/) result = result " " S[k] ":" S[k] "-at1 " S[k] ":" S[k] "-at7"
    return result
}
# The last of the rows' distances are those without aliasing.
function distances(type, bytes,    half, n) {
    half = 2048 / bytes; n = half - 12
    base = "256x" n "-pitch" n
    return base ":256x" n "-pitch" half " " base ":256x" n "-pitch" 2 * half
}
function axes(type,    S, n, k, result) {
    n = split(shapes_of["softmax", type], S, " ")
    for (k = 1; k <= n; k++) if (S[k] ~ /axis/) result = result " " S[k]
    return result
}

END {
    print "| work | at least | reach for | reached | worst cell | best peer there | |"
    print "| --- | --- | --- | --- | --- | --- | --- |"
    bar("softmax f32, several rows, 4096x64 to 16x128256", 1.15, "1.35", "softmax", "f32", in_cache " " large)
    bar("softmax f32, 1x1048576", 1, "1.20", "softmax", "f32", "1x1048576")
    bar("softmax f32, 1x16777216", 1.05, "1.25", "softmax", "f32", "1x16777216")
    if (("softmax", "f32", "1x16777216", "read") in us) {
        v = us["softmax", "f32", "1x16777216", "safe_softmax"] / (us["softmax", "f32", "1x16777216", "read"] + us["softmax", "f32", "1x16777216", "streaming_copy"])
        ends("softmax f32, 1x16777216, time over that of one read and one streaming copy", 1.2, v, "softmax/f32/1x16777216", v > 1.2, 1)
    }
    bar("softmax f32, rows of 2, 3, 4, 5, 7, 8", 2.5, "4", "softmax", "f32", "4096x2 4096x3 4096x4 4096x5 4096x7 4096x8")
    bar("softmax f32, rows of 10, 12, 16, 20, 32", 1.7, "3", "softmax", "f32", "4096x10 4096x12 4096x16 4096x20 4096x32")
    bar("softmax and log_softmax, 1x10, each type", 1, "", "softmax log_softmax", "f32 f64 f16 bf16", "1x10")
    bar("softmax f32, axis not the last", 2, "3", "softmax", "f32", axes("f32"))
    bar("softmax f64, f16, bf16, axis not the last", 1.7, "3", "softmax", "f64 f16 bf16", axes("f32"))
    bar("softmax bf16, batches to 256x4096", 1.6, "2.5", "softmax", "bf16", batched)
    bar("softmax bf16, batches from 64x32000", 1.3, "2.5", "softmax", "bf16", large)
    bar("softmax f16, batches to 256x4096", 1.4, "2", "softmax", "f16", batched)
    bar("softmax f16, batches from 64x32000", 1.1, "2", "softmax", "f16", large)
    bar("log_softmax f32, batches", 1.15, "1.5", "log_softmax", "f32", batched " " large)
    bar("log_softmax f16 and bf16, batches", 1.7, "2.5", "log_softmax", "f16 bf16", batched " " large)
    bar("softmax and log_softmax f64, batches", 1.5, "", "softmax log_softmax", "f64", batched " " large)
    start(1.6)
    scan("softmax log_softmax", "f32 f16 bf16", every, "safe_softmax", "")
    mean = cells == 0 ? 0 : exp(logs / cells)
    missed = mean < least
    worst_cell = cells " cells"; worst_name = ""
    if (cells) printf "| geometric mean over the cells of softmax and log_softmax, f32, f16, bf16 | 1.60 | 2.20 | %.2f | %d cells | | %s |\n", mean, cells, mean < 1.6 ? "not met" : "met"
    bar("-march=haswell against -march=native, speed, in cache", 0.6, "", "softmax log_softmax logsumexp", "f32 f64 f16 bf16", batched " 8x1000x64-axis1", "safe_softmax_haswell", "safe_softmax")
    bar("without xsimd against with it, speed", 0.7, "", "softmax log_softmax logsumexp", "f32 f64 f16 bf16", every, "safe_softmax_no_xsimd", "safe_softmax")
    flat("growth: time per element, batches of rows of 1e3 to 1e6, largest over smallest", 1.25, "growth", "f32 f64 f16 bf16", 1000)
    flat("growth: the same, a single row", 1.25, "single", "f32 f64 f16 bf16", 1000)
    split("f32 f64 f16 bf16", T, " ")
    for (i = 1; i <= 4; i++) pairs_of("rows of n and n + 1 from 64 up, " T[i], 1.15, "odd", T[i], neighbours(T[i]))
    for (i = 1; i <= 4; i++) pairs_of("misaligned data, " T[i], 1.15, "misaligned", T[i], offsets(T[i]), 1)
    split("4 8 2 2", B, " ")
    for (i = 1; i <= 4; i++) pairs_of("rows 2 KiB and 4 KiB apart, " T[i], 1.15, "apart", T[i], distances(T[i], B[i]), 1)
}
