from spack_repo.builtin.build_systems.cmake import CMakePackage

from spack.package import *


class SafeSoftmax(CMakePackage):
    """Softmax, log-softmax and logsumexp, accurate to a few ulp, header-only."""

    license("BSL-1.0")

    version("1.0.0")

    variant("xsimd", default=True, description="Vector registers through xsimd")

    depends_on("cxx", type="build")
    depends_on("cmake@3.22:", type="build")
    depends_on("xsimd@8.1:14", when="+xsimd", type=("build", "link"))

    conflicts("%gcc@:11", msg="C++20 of g++ 12 is needed")
    conflicts("%clang@:13", msg="C++20 of clang 14 is needed")

    def cmake_args(self):
        return [
            self.define("SMX_FETCH_DEPENDENCIES", False),
            self.define_from_variant("SMX_WITH_XSIMD", "xsimd"),
        ]
