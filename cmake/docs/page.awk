# A Markdown file of the project as a page of the site: awk -v root=<project> -f page.awk <file>. Headings get names, and links
# among files become links among pages. README.md is the main page; the links of examples/guides/README.md make the others its subpages.
function id_of(path) { gsub(/[^A-Za-z0-9]+/, "_", path); return tolower("page_" path) }
# As GitHub makes them.
function slug_of(heading) {
    heading = tolower(heading)
    gsub(/[^a-z0-9 _-]/, "", heading)
    gsub(/ /, "-", heading)
    return heading
}
function resolve(path, from,    parts, n, i, kept, k, joined) {
    n = split(from path, parts, "/")
    k = 0
    for (i = 1; i <= n; ++i) {
        if (parts[i] == "..") --k
        else if (parts[i] != "." && parts[i] != "") kept[++k] = parts[i]
    }
    joined = kept[1]
    for (i = 2; i <= k; ++i) joined = joined "/" kept[i]
    return joined
}
# A page has a title; other Markdown is shown as a file.
function is_page(path,    line) {
    if (!(path in titled)) {
        line = ""
        getline line < (root "/" path)
        close(root "/" path)
        titled[path] = line ~ /^# /
    }
    return titled[path]
}
function target(link,    path, fragment, at) {
    if (link ~ /^[a-z]+:/) return link
    at = index(link, "#")
    fragment = at ? substr(link, at + 1) : ""
    path = at ? substr(link, 1, at - 1) : link
    path = path == "" ? page : resolve(path, folder)
    if (path ~ /\.md$/ && is_page(path)) {
        if (fragment != "") return "@ref " id_of(path) "_" fragment
        if (page == "examples/guides/README.md" && !(path in seen) && path != "README.md") { seen[path] = 1; return "@subpage " id_of(path) }
        return path == "README.md" ? "index.html" : "@ref " id_of(path)
    }
    if (path ~ /^include\/safe_softmax\/[a-z0-9_]+\.hpp$/) { sub(/^include\//, "", path); return "@ref " path }
    return "files/" path ".txt"
}
function links(line,    done, link) {
    done = ""
    while (match(line, /\]\([^) ]+\)/)) {
        link = substr(line, RSTART + 2, RLENGTH - 3)
        done = done substr(line, 1, RSTART) "(" target(link) ")"
        line = substr(line, RSTART + RLENGTH)
    }
    return done line
}
function images(line,    alt, path) {
    while (match(line, /!\[[^]]*\]\([^) ]+\)/)) {
        alt = substr(line, RSTART + 2, RLENGTH - 3)
        path = alt
        sub(/\].*$/, "", alt)
        sub(/^.*\(/, "", path)
        sub(/^.*\//, "", path)
        line = substr(line, 1, RSTART - 1) "<img src=\"" path "\" alt=\"" alt "\"/>" substr(line, RSTART + RLENGTH)
    }
    return line
}
FNR == 1 {
    page = substr(FILENAME, length(root) + 2)
    folder = page
    sub(/[^\/]*$/, "", folder)
}
/^```/ { code = !code; print; next }
code || /^    / { print; next }
/^# / {
    print $0 " {#" (page == "README.md" ? "mainpage" : id_of(page)) "}"
    next
}
/^##+ / {
    heading = $0
    sub(/^#+ /, "", heading)
    print $0 " {#" id_of(page) "_" slug_of(heading) "}"
    next
}
{ print links(images($0)) }
