#include "builder/stage/invocation.hh"

namespace kiln::stage {

std::vector<std::string> argv_of(const dockerfile::CommandLine& command,
                                 const std::vector<std::string>& shell) {
  if (!command.shell_form) return command.words;
  std::vector<std::string> argv = shell;
  if (argv.empty()) argv = {"/bin/sh", "-c"};
  argv.push_back(command.words.empty() ? std::string() : command.words[0]);
  return argv;
}

Invocation invocation_of(const dockerfile::Run& run, const std::vector<std::string>& shell) {
  if (run.heredocs.empty() || run.command.words.empty()) return {argv_of(run.command, shell), {}};
  dockerfile::CommandLine command = run.command;
  std::string& line = command.words[0];

  std::optional<dockerfile::Heredoc> lone;
  try {
    lone = dockerfile::parse_heredoc_word(line);
  } catch (const Error&) {
    // Quotes that end elsewhere: a line for the shell.
  }
  if (lone) {
    const dockerfile::Heredoc& body = run.heredocs[0];
    line = body.chomp ? dockerfile::chomp_tabs(body.content) : body.content;
    if (!line.starts_with("#!")) return {argv_of(command, shell), {}};
    std::string path = "/dev/pipes/";
    // The name is the Dockerfile's; a slash in it would leave the directory.
    for (const char c : body.name) path += c == '/' ? '_' : c;
    return {{path}, Script{path, line}};
  }
  for (const dockerfile::Heredoc& body : run.heredocs) {
    line.append("\n").append(body.content).append(body.name);
  }
  return {argv_of(command, shell), {}};
}

}  // namespace kiln::stage
