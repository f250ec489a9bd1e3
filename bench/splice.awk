# Puts files into a page, each between its marks: awk -v folder=results -f splice.awk README.md > new.md
/^<!-- [a-z]+\.md -->$/ {
    print
    print ""
    file = folder "/" $2
    while ((getline line < file) > 0) print line
    print ""
    inside = 1
}
/^<!-- end -->$/ { inside = 0 }
!inside && !/^<!-- [a-z]+\.md -->$/
