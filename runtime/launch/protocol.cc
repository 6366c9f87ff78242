#include "runtime/launch/protocol.hh"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr size_t message_limit = longest_message;

}  // namespace

std::string encode_message(MessageHead head, std::string_view text) {
  std::string bytes(sizeof head, '\0');
  std::memcpy(bytes.data(), &head, sizeof head);
  return bytes.append(text.substr(0, message_limit - sizeof head));
}

Question decode_message(Message message) {
  Question question;
  if (message.end) {
    question.end = true;
    return question;
  }
  MessageHead head;
  if (message.bytes.size() < sizeof head) throw Error("a message of the launch is too short");
  std::memcpy(&head, message.bytes.data(), sizeof head);
  if (head.ask < Ask::settle || head.ask > Ask::refused)
    throw Error("a message of the launch is of no known kind");
  question.ask = head.ask;
  question.number = head.number;
  question.text = std::move(message.bytes.erase(0, sizeof head));
  question.fds = std::move(message.fds);
  return question;
}

Question Asker::ask(Ask what, int32_t number, const std::vector<int>& fds) {
  tell(what, number, {}, fds);
  Question answer = decode_message(receive_message(socket_.get(), message_limit));
  if (answer.end) ::_exit(1);
  if (answer.ask == Ask::refused) throw Error(answer.text);
  return answer;
}

void Asker::tell(Ask what, int32_t number, std::string_view text, const std::vector<int>& fds) {
  if (!send_message(socket_.get(), encode_message({what, number}, text), fds)) ::_exit(1);
}

void Asker::tell_loaded(int notify_fd) const {
  MessageHead head{Ask::loaded, notify_fd};
  if (::write(socket_.get(), &head, sizeof head) < 0) ::_exit(1);
}

void Asker::tell_failed(int error, std::string_view text) const noexcept {
  struct {
    MessageHead head;
    char text[16 * 1024];
  } message;
  message.head = {Ask::failed, error};
  const size_t size = std::min(text.size(), sizeof message.text);
  std::memcpy(message.text, text.data(), size);
  // Whoever does not hear it sees the end of file.
  [[maybe_unused]] ssize_t ignored = ::write(socket_.get(), &message, sizeof message.head + size);
}

void Asker::move_to(int number) {
  if (socket_.get() == number) return;
  if (::dup3(socket_.get(), number, O_CLOEXEC) < 0) throw SysError("dup3");
  socket_.reset(number);
}

void answer_done(int socket, std::string_view bytes, const std::vector<int>& fds, int32_t number) {
  // A child that died meanwhile is noticed by the end of file that comes next.
  send_message(socket, encode_message({Ask::done, number}, bytes), fds);
}

void answer_refused(int socket, int error, std::string_view text) {
  send_message(socket, encode_message({Ask::refused, error}, text));
}

Question next_question(int socket) {
  return decode_message(receive_message(socket, message_limit));
}

}  // namespace vessel
