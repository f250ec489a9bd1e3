# Reads the results, and finds the best peer of a cell: awk -f cells.awk -f bars.awk elsewhere.csv results/*.csv
#
# elsewhere.csv has peers that are not installed here, measured on another machine beside the three loops in float; they
# are placed here by their ratio to those.
BEGIN {
    FS = ","
    peers = "three_loops oneDNN PyTorch Eigen XNNPACK"
    in_cache = "4096x64 1024x128 1024x197 512x512 512x1000 256x4096"
    batched = "4096x8 4096x16 " in_cache
    large = "64x32000 16x128256"
    every = "1x10 " batched " " large " 1x1048576 1x16777216 8x1000x64-axis1"
}
FNR == 1 { next }
FILENAME ~ /elsewhere/ { their[$1, $2, $3] = $5 / $6; their_name[$1, $2, $3] = $4; next }
{
    us[$1, $2, $3, $4] = $6
    ns[$1, $2, $3, $4] = $5
    seen[$1, $2, $4] = 1
    if ($4 == "safe_softmax") shapes_of[$1, $2] = shapes_of[$1, $2] " " $3
    if ($4 == "1_thread") threaded[$2] = threaded[$2] " " $3
}

# Time of the best peer in a cell; its name in best_name. here: installed ones alone.
function best(f, t, s, here,    n, i, list, time, result) {
    result = 0
    n = split(peers, list, " ")
    for (i = 1; i <= n; i++) {
        if (!((f, t, s, list[i]) in us)) continue
        time = us[f, t, s, list[i]]
        if (result == 0 || time < result) { result = time; best_name = list[i] }
    }
    if (!here && (f, t, s) in their && (f, "f32", s, "three_loops") in us) {
        time = their[f, t, s] * us[f, "f32", s, "three_loops"]
        if (result == 0 || time < result) { result = time; best_name = their_name[f, t, s] ", placed" }
    }
    return result
}

