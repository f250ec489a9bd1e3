// SPDX-License-Identifier: BSL-1.0

// Files and pipes in NumPy's format and in CSV: the results of the library, in every type, order, shape and axis.

#include "arrays.hpp"
#include "process.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace cli_test {
namespace {

TEST_F(SoftmaxCli, NpyOfEveryTypeOrderShapeAndAxis) {
    const std::vector<std::vector<std::size_t>> shapes = {
        {}, {1}, {7}, {0}, {3, 0, 2}, {0, 3}, {5, 8}, {4, 3, 9}, {2, 1, 3, 2, 5}};
    const char* const functions[] = {"softmax", "log_softmax", "logsumexp"};
    unsigned number = 0;
    std::string script;
    struct wanted {
        std::string name;
        npy::header header;
        std::string data;
    };
    std::vector<wanted> all;
    for (const std::vector<std::size_t>& shape : shapes) {
        const std::ptrdiff_t rank = static_cast<std::ptrdiff_t>(std::max<std::size_t>(shape.size(), 1));
        for (std::ptrdiff_t axis = -rank; axis < rank; ++axis) {
            // Types, orders and functions take turns, so that they meet in all pairs.
            const std::size_t size = std::size_t(2) << number % 3, out_size = std::size_t(2) << number / 3 % 3;
            const bool own_type = number % 5 == 0, keepdims = number % 2 == 0;
            const std::string function = functions[number / 2 % 3];
            const npy::header h{'f', size, number % 7 < 2, number % 4 > 1, shape};
            const std::string data = elements(size, npy::element_count(h), number);
            const std::string name = std::to_string(number);
            write(name + ".npy", npy_file(h, data));
            script += "cli " + function + " " + name + ".npy " + name + ".result.npy --axis " + std::to_string(axis) +
                      (own_type ? "" : " --dtype f" + std::to_string(out_size)) + (keepdims ? " --keepdims" : "") +
                      " --scale 0.5 || echo " + name + " failed\n";
            npy::header r = h;
            if (!own_type) r.item_size = out_size;
            all.push_back({name, r, expected(function, h, data, axis, r.item_size, keepdims, {.scale = 0.5})});
            if (function == "logsumexp" && !shape.empty()) {
                const std::ptrdiff_t at = axis < 0 ? axis + rank : axis;
                if (keepdims) all.back().header.shape[static_cast<std::size_t>(at)] = 1;
                else all.back().header.shape.erase(all.back().header.shape.begin() + at);
            }
            ++number;
        }
    }
    const outcome o = shell(script);
    EXPECT_EQ(o.out, "");
    EXPECT_EQ(o.err, "");
    EXPECT_GE(number, 34u);
    for (const wanted& w : all) {
        const array a = parse(read(w.name + ".result.npy"));
        EXPECT_EQ(a.header.descr(), w.header.descr()) << w.name;
        EXPECT_EQ(a.header.fortran_order, w.header.fortran_order) << w.name;
        EXPECT_EQ(a.header.shape, w.header.shape) << w.name;
        EXPECT_EQ(a.data, w.data) << w.name;
    }
}

TEST_F(SoftmaxCli, HeadersOfEveryVersionAndStyle) {
    const std::string data = elements(4, 6);
    const npy::header h{'f', 4, false, false, {2, 3}};
    const std::string want = npy_file(h, expected("softmax", h, data, -1, 4));
    const auto file = [&](int version, const std::string& dictionary) {
        std::string bytes = std::string(npy::magic) + static_cast<char>(version) + '\0';
        for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(dictionary.size() >> 8 * i & 255);
        return bytes + dictionary + data;
    };
    const std::string usual = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    for (const std::string& bytes : {file(1, usual + "   \n"), file(2, usual + "\n"), file(3, usual),
                                     file(1, "{\"shape\":(2L,3L),\"fortran_order\":False,\"descr\":\"=f4\"}"),
                                     file(1, " { 'descr' : '<f4','shape':(2,3,),\t'fortran_order': False } \n")}) {
        write("in.npy", bytes);
        const outcome o = shell("cli softmax in.npy out.npy");
        EXPECT_EQ(o.err, "");
        EXPECT_EQ(read("out.npy"), want);
    }
}

TEST_F(SoftmaxCli, FilesOfNumPyAndBack) {
    std::string python;
    for (const char* const candidate : {"python3", "/usr/bin/python3"})
        if (python.empty() && std::system((std::string(candidate) + " -c 'import numpy' >/dev/null 2>&1").c_str()) == 0)
            python = candidate;
    if (python.empty())
        GTEST_SKIP() << "without NumPy, which was not found (Debian, Ubuntu: apt-get install python3-numpy)";
    const outcome o = shell(
        "cat >check.py <<\"END\"\n"
        "import numpy as np, subprocess, sys\n"
        "rng = np.random.default_rng(1)\n"
        "for dtype in 'f2', 'f4', 'f8', '>f4':\n"
        "    for order in 'C', 'F':\n"
        "        for axis in 0, 1, -1:\n"
        "            x = np.asarray(rng.normal(0, 3, (4, 5, 6)), dtype=dtype, order=order)\n"
        "            np.save('n.npy', x)\n"
        "            subprocess.run([sys.argv[1], 'softmax', 'n.npy', 'm.npy', '--axis', str(axis)], check=True)\n"
        "            y = np.load('m.npy')\n"
        "            e = np.exp(x.astype('f8') - x.astype('f8').max(axis, keepdims=True))\n"
        "            e /= e.sum(axis, keepdims=True)\n"
        "            assert y.shape == x.shape and y.dtype == x.dtype and np.isfortran(y) == np.isfortran(x)\n"
        "            assert np.allclose(y.astype('f8'), e, rtol={2: 6e-4, 4: 5e-7, 8: 2e-15}[x.dtype.itemsize], "
        "atol=1.2e-7 if x.dtype.itemsize == 2 else 0)\n"
        "print('compared')\n"
        "END\n" +
        python + " check.py '" SOFTMAX_CLI "'");
    EXPECT_EQ(o.out, "compared\n") << o.err;
}

TEST_F(SoftmaxCli, Pipes) {
    const npy::header h{'f', 4, false, false, {300, 1000}};
    const std::string data = elements(4, 300000);
    write("in.npy", npy_file(h, data));
    const std::string want = npy_file(h, expected("softmax", h, data, 1, 4));
    EXPECT_EQ(shell("cat in.npy | cli softmax | cat > out.npy").err, "");
    EXPECT_EQ(read("out.npy"), want);
    EXPECT_EQ(shell("cli softmax < in.npy > redirected.npy").err, "");
    EXPECT_EQ(read("redirected.npy"), want);
    EXPECT_EQ(shell("cli softmax - - < in.npy | cli logsumexp - sums.npy --axis 0").err, "");
    EXPECT_EQ(parse(read("sums.npy")).header.shape, std::vector<std::size_t>{1000});
    EXPECT_EQ(shell("mkfifo pipe; cat pipe > fifo.npy & cli softmax in.npy pipe; wait").err, "");
    EXPECT_EQ(read("fifo.npy"), want);
    const outcome closed = shell("cli softmax in.npy - | head -c 6");
    EXPECT_EQ(closed.out, npy::magic);
    EXPECT_EQ(shell("head -c 1000 in.npy | cli softmax - short.npy; echo $?").out, "1\n");
    EXPECT_FALSE(fs::exists(dir_ / "short.npy"));
    const outcome more = shell("(cat in.npy; echo) | cli softmax > long.npy");
    EXPECT_EQ(more.err,
              "softmax_cli: standard input: has 1200000 and more bytes of data, but shape (300, 1000) of '<f4' needs "
              "1200000\n");
    EXPECT_EQ(more.status, 1);
}

TEST_F(SoftmaxCli, InPlaceThroughALinkAndWithItsPermissions) {
    const npy::header h{'f', 2, false, false, {4, 5}};
    const std::string data = elements(2, 20);
    write("x.npy", npy_file(h, data));
    fs::create_symlink("x.npy", dir_ / "link.npy");
    fs::permissions(dir_ / "x.npy", fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    EXPECT_EQ(shell("cli softmax link.npy link.npy").err, "");
    EXPECT_TRUE(fs::is_symlink(dir_ / "link.npy"));
    EXPECT_EQ(read("x.npy"), npy_file(h, expected("softmax", h, data, 1, 2)));
    EXPECT_EQ(fs::status(dir_ / "x.npy").permissions(),
              fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    EXPECT_EQ(names(), (std::vector<std::string>{"link.npy", "x.npy"}));
}

// ---- CSV ------------------------------------------------------------------------------------------------------------------

TEST_F(SoftmaxCli, Csv) {
    EXPECT_EQ(shell("printf '0,0\\n0,-inf\\n' | cli softmax").out, "0.5,0.5\n1,0\n");
    EXPECT_EQ(shell("printf '0,0\\n0,0' | cli softmax --axis 0").out, "0.5,0.5\n0.5,0.5\n");
    EXPECT_EQ(shell("printf '20,0\\n' | cli log_softmax --dtype f4").out, "-2.0611537e-09,-20\n");
    EXPECT_EQ(
        shell("printf 'a;b\\r\\n\"0\";+0\\r\\n-inf; inf \\r\\n\\r\\n' | cli softmax --header --delimiter ';'").out,
        "a;b\n0.5;0.5\n0;1\n");
    EXPECT_EQ(shell("printf '\\357\\273\\277nan\\t1\\n' | cli softmax --delimiter tab").out, "nan\tnan\n");
    EXPECT_EQ(shell("printf '0,inf\\n' | cli softmax --ieee").out, "nan,nan\n");
    EXPECT_EQ(shell("printf 'a,b\\n1,1\\n3,3\\n' | cli logsumexp --header --scale 0").out,
              "0.6931471805599453\n0.6931471805599453\n");
    EXPECT_EQ(shell("printf 'a,b\\n1,1\\n1,1\\n' | cli logsumexp --header -t 0.5 --axis 0").out,
              "a,b\n2.6931471805599454,2.6931471805599454\n");
    EXPECT_EQ(shell("printf '0 0 0 0\\n' | cli softmax --delimiter space --dtype f2").out, "0.25 0.25 0.25 0.25\n");

    // Lines that do not fit the tool's buffer at once, and a file by name.
    std::string wide, want;
    std::vector<double> row(100000), p(row.size());
    for (std::size_t i = 0; i < row.size(); ++i)
        wide += std::to_string(i % 17) + (i + 1 == row.size() ? "\n" : ","), row[i] = static_cast<double>(i % 17);
    write("wide.csv", wide + wide);
    EXPECT_EQ(shell("cli softmax wide.csv out.csv").err, "");
    smx::safe_softmax(row, p);
    std::istringstream text(read("out.csv"));
    for (std::size_t i = 0; i < 2 * row.size(); ++i) {
        std::string field;
        std::getline(text, field, (i + 1) % row.size() == 0 ? '\n' : ',');
        ASSERT_EQ(std::strtod(field.c_str(), nullptr), p[i % row.size()]) << i;
    }
}

}  // namespace
}  // namespace cli_test
