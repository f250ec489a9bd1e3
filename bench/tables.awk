# The tables of README.md, each in a file of its own: awk -v folder=results -f cells.awk -f tables.awk elsewhere.csv results/*.csv
function number(v) {
    if (v == 0) return "-"
    return v < 0.1 ? sprintf("%.3f", v) : v < 10 ? sprintf("%.2f", v) : v < 100 ? sprintf("%.1f", v) : sprintf("%.0f", v)
}
function time(f, t, s, what) { return (f, t, s, what) in us ? us[f, t, s, what] : 0 }

# One function and type; ratios of the best peer's time over ours, of those installed and with those that were placed.
function table(file, f, t,    n, S, k, s, own, here, here_name, placed, i, list, m, sum, cells) {
    n = split(shapes_of[f, t], S, " ")
    if (n == 0) return
    m = split("three_loops oneDNN PyTorch Eigen XNNPACK memcpy streaming_copy", list, " ")
    printf "\n### %s, %s\n\n| shape | us | ns/element | best installed | best, with those placed |", f, t > file
    for (i = 1; i <= m; i++) if (seen[f, t, list[i]]) printf " %s |", list[i] > file
    printf "\n| --- | --- | --- | --- | --- |" > file
    for (i = 1; i <= m; i++) if (seen[f, t, list[i]]) printf " --- |" > file
    print "" > file
    sum = cells = 0
    for (k = 1; k <= n; k++) {
        s = S[k]
        own = us[f, t, s, "safe_softmax"]
        here = best(f, t, s, 1); here_name = best_name
        placed = best(f, t, s, 0)
        printf "| %s | %s | %.3f | %s | %s |", s, number(own), ns[f, t, s, "safe_softmax"],
               here ? sprintf("%.2f x, %s", here / own, here_name) : "-", placed ? sprintf("%.2f x, %s", placed / own, best_name) : "-" > file
        for (i = 1; i <= m; i++) if (seen[f, t, list[i]]) printf " %s |", number(time(f, t, s, list[i])) > file
        print "" > file
        if (placed) { sum += log(placed / own); cells++ }
    }
    if (cells) printf "\nGeometric mean of the ratios: %.2f.\n", exp(sum / cells) > file
}

function threads(file, t,    n, S, k, s, one) {
    print "| shape | elements | one thread, us | OpenMP | oneTBB | two halves, OpenMP | two halves, oneTBB |" > file
    print "| --- | --- | --- | --- | --- | --- | --- |" > file
    for (j = 1; j <= 2; j++) {
        t = j == 1 ? "f32" : "bf16"
        n = split(threaded[t], S, " ")
        for (k = 1; k <= n; k++) {
            split(S[k], at, "x")
            one = us["threads", t, S[k], "1_thread"]
            printf "| %s %s | %d | %s | %s | %s | %s | %s |\n", t, S[k], at[1] * at[2], number(one), gain(t, S[k], "openmp", one), gain(t, S[k], "tbb", one),
                   gain(t, S[k], "openmp_halves", one), gain(t, S[k], "tbb_halves", one) > file
        }
    }
}
function gain(t, s, what, one) { return ("threads", t, s, what) in us ? sprintf("%.2f x", one / us["threads", t, s, what]) : "-" }

END {
    split("f32 bf16 f16 f64", T, " ")
    for (i = 1; i <= 4; i++) {
        table(folder "/tables.md", "softmax", T[i])
        table(folder "/tables.md", "log_softmax", T[i])
    }
    for (i = 1; i <= 4; i++) {
        table(folder "/more.md", "softmax_in_place", T[i])
        table(folder "/more.md", "log_softmax_in_place", T[i])
        table(folder "/more.md", "logsumexp", T[i])
    }
    for (i = 1; i <= 4; i++) builds(folder "/builds.md", T[i])
    threads(folder "/threads.md")
}

# Other builds of ours, as speed of the first one.
function builds(file, t,    n, S, k, s, own) {
    if (t == "f32") print "| cell | us, -march=native | dispatch | -march=haswell | without xsimd |\n| --- | --- | --- | --- | --- |" > file
    n = split(shapes_of["softmax", t], S, " ")
    for (k = 1; k <= n; k++) {
        s = S[k]
        own = us["softmax", t, s, "safe_softmax"]
        if (!time("softmax", t, s, "safe_softmax_dispatch") || s ~ /^4096x(2|3|4|5|7|10|12|20|32)$/) continue
        printf "| softmax/%s/%s | %s | %s | %s | %s |\n", t, s, number(own), speed(t, s, "dispatch", own), speed(t, s, "haswell", own), speed(t, s, "no_xsimd", own) > file
    }
}
function speed(t, s, build, own,    v) {
    v = time("softmax", t, s, "safe_softmax_" build)
    return v ? sprintf("%.2f", own / v) : "-"
}
