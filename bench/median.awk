# One table of several runs of the program, each number the median of theirs: awk -f median.awk run1/x.csv run2/x.csv run3/x.csv
BEGIN { FS = OFS = "," }
FNR == 1 { head = $0; next }
{
    key = $1 OFS $2 OFS $3 OFS $4
    if (!(key in count)) order[++keys] = key
    n = ++count[key]
    for (field = 5; field <= 9; field++) value[key, field, n] = $field
    fields = NF
}
function median(key, field,    n, i, j, v, sorted) {
    n = count[key]
    for (i = 1; i <= n; i++) {
        v = value[key, field, i]
        for (j = i - 1; j >= 1 && sorted[j] + 0 > v + 0; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return sorted[int((n + 1) / 2)]
}
END {
    print head
    for (k = 1; k <= keys; k++) {
        line = order[k]
        for (field = 5; field <= fields; field++) line = line OFS median(order[k], field)
        print line
    }
}
