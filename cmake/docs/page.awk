# A Markdown file of the project as a page of the site: awk -v root=<project> -v pages=... -f page.awk <file>. Headings get names, and links
# among files become links among pages, which are those in `pages` (paths, with spaces between them). README.md is the main page; what
# examples/guides/README.md links to are its subpages.
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
function target(link,    path, fragment, at) {
    if (link ~ /^[a-z]+:/) return link
    at = index(link, "#")
    fragment = at ? substr(link, at + 1) : ""
    path = at ? substr(link, 1, at - 1) : link
    path = path == "" ? page : resolve(path, folder)
    if (index(" " pages " ", " " path " ")) {
        if (fragment != "") return "@ref " id_of(path) "_" fragment
        return path == "README.md" ? "index.html" : "@ref " id_of(path)
    }
    if (path ~ /^include\/safe_softmax\/[a-z0-9_]+\.hpp$/) { sub(/^include\//, "", path); return "@ref " path }
    return "files/" path ".txt"
}
function links(line,    done, before, link) {
    done = ""
    while (match(line, /\]\([^) ]+\)/)) {
        before = substr(line, 1, RSTART)
        link = target(substr(line, RSTART + 2, RLENGTH - 3))
        line = substr(line, RSTART + RLENGTH)
        if (page == "examples/guides/README.md" && sub(/^@ref/, "@subpage", link) && match(before, /\[[^[]*\]$/))
            done = done substr(before, 1, RSTART - 1) link " \"" substr(before, RSTART + 1, RLENGTH - 2) "\""
        else done = done before "(" link ")"
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
