# What Doxygen sees of a header: without the inline namespaces, which are no part of the names that users write, and without what is
# not for them: namespaces detail and vocabulary, and specialisations that say what the text says.
/^inline namespace (SMX_ABI|with_openmp|without_openmp) \{/ { print ""; next }
/^}  \/\/ namespace (SMX_ABI|with_openmp or without_openmp)$/ { print ""; next }
/^namespace (detail|vocabulary) \{$/ { hidden = "namespace" }
/^template <>$/ && !hidden { hidden = "specialisation" }
{ print hidden ? "" : $0 }
hidden == "namespace" && /^}  \/\/ namespace (detail|vocabulary)$/ { hidden = "" }
hidden == "specialisation" && /;$/ && !/^ / { hidden = "" }
