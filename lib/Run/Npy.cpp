// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The .npy format: docs of numpy.lib.format. Its header is the text of a
// Python dict with exactly the keys descr, fortran_order and shape.
#include "elfatt/Run/Array.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

namespace elfatt::run {
namespace {

constexpr StringRef magic("\x93NUMPY", 6);
constexpr int64_t maxElements = int64_t(1) << 40;

Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

/// Reads a header's dict from left to right.
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : text(text) {}

  Error parse(Array &array, bool &fortran) {
    unsigned seen = 0;
    if (!consume("{"))
      return malformed();
    while (!consume("}")) {
      std::string key;
      if (!parseString(key) || !consume(":"))
        return malformed();
      if (key == "descr") {
        std::string descr;
        if (!parseString(descr))
          return makeError("only plain arrays are served, no structured ones");
        if (Error error = parseType(descr, array.type))
          return error;
        seen |= 1;
      } else if (key == "fortran_order") {
        fortran = consume("True");
        if (!fortran && !consume("False"))
          return malformed();
        seen |= 2;
      } else if (key == "shape") {
        if (!parseShape(array.shape))
          return malformed();
        seen |= 4;
      } else {
        return malformed();
      }
      consume(",");
    }
    return seen == 7 && text.trim().empty() ? Error::success() : malformed();
  }

private:
  Error malformed() { return makeError("malformed .npy header"); }

  bool consume(StringRef token) {
    text = text.ltrim();
    return text.consume_front(token);
  }

  bool parseString(std::string &value) {
    text = text.ltrim();
    if (text.empty() || (text[0] != '\'' && text[0] != '"'))
      return false;
    size_t end = text.find(text[0], 1);
    if (end == StringRef::npos)
      return false;
    value = text.slice(1, end).str();
    text = text.drop_front(end + 1);
    return true;
  }

  bool parseShape(std::vector<int64_t> &shape) {
    if (!consume("("))
      return false;
    while (!consume(")")) {
      int64_t size;
      text = text.ltrim();
      if (text.consumeInteger(10, size) || size < 0)
        return false;
      shape.push_back(size);
      if (!consume(",") && !text.ltrim().starts_with(")"))
        return false;
    }
    return true;
  }

  static Error parseType(StringRef descr, ElementType &type) {
    StringRef rest = descr;
    int bytes = 0;
    bool native = rest.consume_front("<") || rest.consume_front("|") || rest.consume_front("=");
    if (!native || rest.size() != 2 || rest.drop_front().getAsInteger(10, bytes))
      return makeError("element type '" + descr + "' is not served");
    type = {rest[0], bytes};
    bool served =
        (type.kind == 'f' && (bytes == 2 || bytes == 4 || bytes == 8)) ||
        ((type.kind == 'i' || type.kind == 'u') && llvm::isPowerOf2_32(bytes) && bytes <= 8) ||
        (type.kind == 'b' && bytes == 1);
    return served ? Error::success() : makeError("element type '" + descr + "' is not served");
  }

  StringRef text;
};

/// Turns data in Fortran order to C order.
void reorder(Array &array) {
  Bytes source = array.data;
  int64_t rank = array.shape.size(), bytes = array.type.bytes, size = array.size();
  std::vector<int64_t> index(rank, 0);
  for (int64_t i = 0; i < size; ++i) {
    int64_t from = 0;
    for (int64_t d = rank; d-- > 0;)
      from = from * array.shape[d] + index[d];
    std::memcpy(&array.data[i * bytes], &source[from * bytes], bytes);
    for (int64_t d = rank; d-- > 0 && ++index[d] == array.shape[d];)
      index[d] = 0;
  }
}

} // namespace

Expected<Array> parseNpy(llvm::ArrayRef<char> bytes) {
  StringRef text(bytes.data(), bytes.size());
  if (!text.consume_front(magic) || text.size() < 4)
    return makeError("not a .npy array");
  // Version 1 holds the header's length in two bytes, later ones in four.
  bool longLength = text[0] >= 2;
  if (text[0] < 1 || text[0] > 3 || (longLength && text.size() < 6))
    return makeError("unknown .npy version");
  uint64_t length = longLength ? llvm::support::endian::read32le(text.data() + 2)
                               : llvm::support::endian::read16le(text.data() + 2);
  text = text.drop_front(longLength ? 6 : 4);
  if (length > text.size())
    return makeError("truncated .npy header");
  Array array;
  bool fortran = false;
  if (Error error = HeaderParser(text.take_front(length)).parse(array, fortran))
    return error;
  text = text.drop_front(length);
  int64_t size = 1;
  for (int64_t dim : array.shape)
    if (llvm::MulOverflow(size, dim, size) || size > maxElements)
      return makeError("array is too large");
  if (static_cast<uint64_t>(size) * array.type.bytes != text.size())
    return makeError("array has " + llvm::Twine(text.size()) + " bytes, expected " +
                     llvm::Twine(size * array.type.bytes));
  array.data.assign(text.begin(), text.end());
  if (fortran)
    reorder(array);
  return array;
}

std::vector<char> formatNpy(const Array &array) {
  std::string header = "{'descr': '";
  header += array.type.bytes == 1 ? '|' : '<';
  header += array.type.kind;
  header += std::to_string(array.type.bytes) + "', 'fortran_order': False, 'shape': (";
  for (int64_t dim : array.shape)
    header += std::to_string(dim) + (array.shape.size() == 1 ? "," : ", ");
  header += "), }";
  // The data starts at a multiple of 64 bytes; the header ends in a newline.
  size_t start = llvm::alignTo(magic.size() + 4 + header.size() + 1, 64);
  header.resize(start - magic.size() - 4 - 1, ' ');
  header += '\n';
  std::vector<char> result(magic.begin(), magic.end());
  result.insert(result.end(), {1, 0, static_cast<char>(header.size() & 0xff),
                               static_cast<char>(header.size() >> 8)});
  result.insert(result.end(), header.begin(), header.end());
  result.insert(result.end(), array.data.begin(), array.data.end());
  return result;
}

} // namespace elfatt::run
