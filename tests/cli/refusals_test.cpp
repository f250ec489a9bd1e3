// SPDX-License-Identifier: BSL-1.0

// Damaged files and wrong arguments: told about, and no output.

#include "arrays.hpp"
#include "process.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>
#include <vector>

namespace cli_test {
namespace {

TEST_F(SoftmaxCli, DamagedNpyFilesAreToldAboutExactlyAndGiveNoOutput) {
    const std::string data = elements(4, 6);
    const auto file = [&](const std::string& dictionary) {
        return std::string(npy::magic) + '\1' + '\0' + static_cast<char>(dictionary.size()) + '\0' + dictionary + data;
    };
    const auto shaped = [&](const std::string& shape) {
        return file("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }");
    };
    const std::string good = npy_file({'f', 4, false, false, {2, 3}}, data), magic(npy::magic);
    const struct {
        std::string bytes, message;
    } cases[] = {
        {"", "is empty"},
        {"1,2,3\n", "is no .npy file: it begins with 31 2c 32 2c 33 0a"},
        {"PK\3\4\24\1", "is no .npy file: it begins with 50 4b 03 04 14 01, as a zip archive does (.npz?)"},
        {good.substr(0, 4), "ends after 4 bytes, in the middle of the magic number"},
        {good.substr(0, 7), "ends after 1 of the 2 bytes of its version"},
        {good.substr(0, 9), "ends after 1 of the 2 bytes of the length of its header"},
        {good.substr(0, 60), "ends after 50 of the 118 bytes of its header"},
        {good.substr(0, 128), "has 0 bytes of data, but shape (2, 3) of '<f4' needs 24"},
        {good.substr(0, 151), "has 23 bytes of data, but shape (2, 3) of '<f4' needs 24"},
        {good + "x", "has 25 bytes of data, but shape (2, 3) of '<f4' needs 24"},
        {magic + '\4' + '\0' + std::string(200, ' '), "has version 4.0 of the format: 1, 2 and 3 can be read"},
        {magic + '\2' + '\0' + "\xff\xff\xff\x7f" + "{", "damaged header: its length is 2147483647 bytes"},
        {file(""), "damaged header: '{' is missing, at byte 0 of its dictionary"},
        {file("{'descr': '<f4', 'fortran_order': False, }"),
         "damaged header: shape is missing, at byte 42 of its dictionary"},
        {file("{'descr': '<f4', 'shape': (2, 3)}"),
         "damaged header: fortran_order is missing, at byte 33 of its dictionary"},
        {file("{'fortran_order': False, 'shape': (2, 3)}"),
         "damaged header: descr is missing, at byte 41 of its dictionary"},
        {file("{'descr': '<f4', 'descr': '<f4'}"),
         "damaged header: key 'descr' stands there twice, at byte 31 of its dictionary"},
        {file("{'color': 'red'}"),
         "damaged header: key 'color' is none of descr, fortran_order, shape, at byte 9 of its dictionary"},
        {file("{'descr': [('a', '<f4')]}"),
         "damaged header: descr is a list: arrays of records cannot be read, at byte 10 of its dictionary"},
        {file("{'descr': 'f', }"), "damaged header: descr 'f' is no type such as '<f4', at byte 13 of its dictionary"},
        {file("{'descr': '<f4"), "damaged header: a quotation has no end, at byte 10 of its dictionary"},
        {file("{'descr': '<f4' 'shape'"), "damaged header: '}' is missing, at byte 16 of its dictionary"},
        {file("{'fortran_order': Maybe}"),
         "damaged header: fortran_order is neither True nor False, at byte 18 of its dictionary"},
        {file("{'descr': '<f4'} x"), "damaged header: something follows the dictionary, at byte 17 of its dictionary"},
        {shaped("(2, 3"), "damaged header: a number of shape is missing, at byte 57 of its dictionary"},
        {shaped("(-2, 3)"), "damaged header: a number of shape is missing, at byte 51 of its dictionary"},
        {shaped("(99999999999999999999,)"),
         "damaged header: a number of shape is larger than 64 bits can hold, at byte 70 of its dictionary"},
        {shaped("(4294967296, 4294967296)"), "shape (4294967296, 4294967296) has more elements than can be counted"},
        {shaped("(2, 4)"), "has 24 bytes of data, but shape (2, 4) of '<f4' needs 32"},
        {file("{'descr': '<i8', 'fortran_order': False, 'shape': (3,)}"),
         "has elements of type '<i8', but only f2, f4 and f8 can be read"},
        {file("{'descr': '<f16', 'fortran_order': False, 'shape': (3,)}"),
         "has elements of type '<f16', but only f2, f4 and f8 can be read"},
    };
    for (const auto& c : cases) {
        write("in.npy", c.bytes);
        const outcome o = shell("cli softmax in.npy out.npy");
        EXPECT_EQ(o.err, "softmax_cli: in.npy: " + c.message + "\n");
        EXPECT_EQ(o.status, 1);
        EXPECT_EQ(names(), std::vector<std::string>{"in.npy"});
    }
    write("in.npy", good);
    EXPECT_EQ(shell("cli softmax in.npy out.npy --axis 2").err,
              "softmax_cli: in.npy: has shape (2, 3), but --axis is 2\n");
}

TEST_F(SoftmaxCli, NoDamageOfABitOrALengthCrashesIt) {
    const std::string good = npy_file({'f', 4, false, false, {2, 3}}, elements(4, 6));
    std::mt19937 engine(3);
    std::string script;
    for (int i = 0; i < 300; ++i) {
        std::string bad = good;
        bad[engine() % 128] ^= static_cast<char>(1 << engine() % 8);
        if (i % 3 == 0) bad.resize(engine() % bad.size());
        write(std::to_string(i) + ".npy", bad);
    }
    const outcome o =
        shell("for i in {0..299}; do cli softmax $i.npy out.npy 2>/dev/null; s=$?; [ $s -le 1 ] || echo $i: $s; done");
    EXPECT_EQ(o.out, "");
}

TEST_F(SoftmaxCli, DamagedCsvFilesAreToldAboutExactlyAndGiveNoOutput) {
    const struct {
        std::string bytes, message;
    } cases[] = {
        {"", "has no rows"},
        {"\n\n", "has no rows"},
        {"a,b\n1,2\n", "line 1, field 1: \"a\" is no number; --header passes a first line of names through"},
        {"1,2\n3,x\033[2J\n", "line 2, field 2: \"x?[2J\" is no number"},
        {"1,2\n3\n", "line 2 has 1 fields, but those before have 2"},
        {"1,2\n3,4,\n", "line 2, field 3: \"\" is no number"},
        {"1,2\n\n3,4\n", "line 2 is empty"},
        {"1,1e999\n", "line 1, field 2: \"1e999\" is a number that no double can hold"},
        {"1,0x10\n", "line 1, field 2: \"0x10\" is no number; --header passes a first line of names through"},
        {"1,2\n1,123456789012345678901234567890x\n", "line 2, field 2: \"123456789012345678901234...\" is no number"},
    };
    for (const auto& c : cases) {
        write("in.csv", c.bytes);
        const outcome o = shell("cli softmax in.csv out.csv");
        EXPECT_EQ(o.err, "softmax_cli: in.csv: " + c.message + "\n");
        EXPECT_EQ(o.status, 1);
        EXPECT_EQ(names(), std::vector<std::string>{"in.csv"});
    }
    write("in.csv", "1,2\n");
    EXPECT_EQ(shell("cli softmax in.csv --axis 2").err, "softmax_cli: in.csv: has rows and columns, but --axis is 2\n");
    EXPECT_EQ(shell("yes 1,2 | head -100000 | cli softmax --axis 0 --memory 1").err,
              "softmax_cli: standard input: along columns the whole table is needed, and at line 32769 it is larger "
              "than --memory allows\n");
}

TEST_F(SoftmaxCli, WrongArguments) {
    write("in.csv", "1,2\n");
    for (const char* const wrong :
         {"", "sofmax in.csv", "softmax in.csv --scale x", "softmax in.csv --scale inf",
          "softmax in.csv --temperature 0", "softmax in.csv -s 1 -t 1", "softmax in.csv --dtype f16",
          "softmax in.csv --memory 0", "softmax in.csv --format xls", "softmax in.csv out.csv more",
          "softmax in.csv --axis 1.5", "softmax in.csv --progress"}) {
        const outcome o = shell(std::string("cli ") + wrong);
        EXPECT_EQ(o.status, 2) << wrong;
        EXPECT_EQ(o.out, "") << wrong;
        EXPECT_NE(o.err, "") << wrong;
    }
    EXPECT_EQ(shell("cli softmax none.csv").err, "softmax_cli: none.csv: cannot open: No such file or directory\n");
    EXPECT_EQ(shell("cli softmax .").err, "softmax_cli: .: cannot read: Is a directory\n");
    EXPECT_EQ(shell("cli softmax in.csv nowhere/out.csv").err,
              "softmax_cli: nowhere/out.csv: cannot make: No such file or directory\n");
    EXPECT_EQ(shell("cli --help").status, 0);
    EXPECT_EQ(shell("cli --version").status, 0);
}

}  // namespace
}  // namespace cli_test
