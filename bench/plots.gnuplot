# ns per element over the length of a row, one picture for each type: gnuplot -e "folder='results'" plots.gnuplot
set terminal svg size 900,520 font 'sans,13' background 'white'
set datafile separator ','
set logscale x
set logscale y
set grid
set key outside right
set xlabel 'elements of a row (batches of 262144 elements, from there on a single row)'
set ylabel 'ns per element'
rows(type, what) = sprintf("< awk -F, '$2 == \"%s\" && $4 == \"%s\" { split($3, s, \"x\"); print s[2] \",\" $5 }' %s/growth.csv", type, what, folder)
there(type, what) = int(system(sprintf("grep -c '^growth,%s,[^,]*,%s,' %s/growth.csv || true", type, what, folder))) > 0
peers = 'three_loops oneDNN PyTorch Eigen XNNPACK'
do for [type in 'f32 f64 f16 bf16'] {
    if (there(type, 'safe_softmax')) {
        shown = ''
        do for [p in peers] { if (there(type, p)) { shown = shown . ' ' . p } }
        set output sprintf('%s/softmax_%s.svg', folder, type)
        set title 'softmax, ' . type . ', one thread'
        plot for [p in shown] rows(type, p) with lines lw 1.5 title (p eq 'three_loops' ? 'three loops' : p), \
             rows(type, 'memcpy') with lines dt 2 lw 1.5 lc rgb 'gray40' title 'memcpy', \
             rows(type, 'safe_softmax') with linespoints lw 3 pt 7 ps 0.5 lc rgb 'black' title 'safe\_softmax'
        unset output
    }
}
