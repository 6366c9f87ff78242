#include "builder/steps/mode_change.hh"

#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr uint32_t user_bits = 04700, group_bits = 02070, other_bits = 01007;

// rwx of one class, in the lowest three bits.
uint32_t class_bits(uint32_t mode, char from) {
  return from == 'u' ? (mode >> 6) & 7 : from == 'g' ? (mode >> 3) & 7 : mode & 7;
}

}  // namespace

std::expected<ModeChange, std::string> ModeChange::parse(std::string_view text) {
  const std::string wrong = "invalid mode '" + std::string(text) +
                            "': expected an octal number up to 7777 or a symbolic mode like "
                            "u=rwX,go=rX";
  ModeChange change;
  if (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    const auto number = parse_number<uint32_t>(text, 8);
    if (!number || *number > 07777) return std::unexpected(wrong);
    change.absolute_ = true;
    change.mode_ = *number;
    return change;
  }
  size_t i = 0;
  while (true) {
    uint32_t who = 0;
    for (; i < text.size(); ++i) {
      if (text[i] == 'u')
        who |= user_bits;
      else if (text[i] == 'g')
        who |= group_bits;
      else if (text[i] == 'o')
        who |= other_bits;
      else if (text[i] == 'a')
        who |= user_bits | group_bits | other_bits;
      else
        break;
    }
    if (who == 0) who = user_bits | group_bits | other_bits;
    bool any = false;
    while (i < text.size() && (text[i] == '+' || text[i] == '-' || text[i] == '=')) {
      Clause c;
      c.who = who;
      c.op = text[i++];
      any = true;
      for (;
           i < text.size() && text[i] != ',' && text[i] != '+' && text[i] != '-' && text[i] != '=';
           ++i) {
        switch (text[i]) {
          case 'r':
            c.bits |= 0444;
            break;
          case 'w':
            c.bits |= 0222;
            break;
          case 'x':
            c.bits |= 0111;
            break;
          case 'X':
            c.conditional_x = true;
            break;
          case 's':
            c.bits |= 06000;
            break;
          case 't':
            c.bits |= 01000;
            break;
          case 'u':
          case 'g':
          case 'o':
            if (c.copy_from != 0) return std::unexpected(wrong);
            c.copy_from = text[i];
            break;
          default:
            return std::unexpected(wrong);
        }
      }
      change.clauses_.push_back(c);
    }
    if (!any) return std::unexpected(wrong);
    if (i == text.size()) return change;
    if (text[i] != ',' || ++i == text.size()) return std::unexpected(wrong);
  }
}

uint32_t ModeChange::apply(uint32_t mode, bool directory) const {
  if (absolute_) return mode_;
  for (const Clause& c : clauses_) {
    uint32_t bits = c.bits;
    if (c.conditional_x && (directory || (mode & 0111) != 0)) bits |= 0111;
    if (c.copy_from != 0) bits |= class_bits(mode, c.copy_from) * 0111;
    bits &= c.who;
    if (c.op == '+')
      mode |= bits;
    else if (c.op == '-')
      mode &= ~bits;
    else
      mode = (mode & ~(c.who & 0777)) | bits;
    // '=' leaves the set-id and sticky bits of files alone unless named, as GNU chmod does for
    // directories and BuildKit for everything.
  }
  return mode & 07777;
}

}  // namespace kiln
