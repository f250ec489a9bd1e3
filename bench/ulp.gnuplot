# The error of softmax over the spread of the logits: gnuplot -e "folder='results'" ulp.gnuplot
set terminal svg size 900,520 font 'sans,13' background 'white'
set datafile separator ','
set logscale x
set logscale y
set grid
set key outside right
set xrange [1:1e3]
set yrange [1:1e8]
set format y '10^{%L}'
set ytics add ('1' 1, '10' 10, '100' 100)
set xlabel 'spread r: logits are uniform in (-r, r), rows of 1000'
set ylabel 'largest error, in units of the last place'
set title 'softmax in float'
rows(what) = sprintf("< awk -F, '$2 == \"%s\" { print $1 \",\" $3 }' %s/ulp.csv", what, folder)
there(what) = int(system(sprintf("grep -c ',%s,' %s/ulp.csv || true", what, folder))) > 0
shown = ''
do for [p in 'three_loops three_loops_precise oneDNN PyTorch Eigen XNNPACK'] { if (there(p)) { shown = shown . ' ' . p } }
title_of(p) = p eq 'three_loops' ? 'three loops, -ffast-math' : p eq 'three_loops_precise' ? 'three loops' : p
set output folder . '/ulp.svg'
plot for [p in shown] rows(p) with lines lw 1.5 title title_of(p), \
     rows('subtraction') with lines dt 2 lw 2.5 lc rgb 'gray40' title 'the subtraction alone', \
     rows('safe_softmax') with lines lw 3 lc rgb 'black' title 'safe\_softmax'
