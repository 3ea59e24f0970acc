/*
 * with-console PROGRAM ARGUMENTS…: runs a program in a console of its own, as a terminal or a service wrapper of Windows
 * does, and types ctrl-C there when standard input ends. Its exit status is the program's.
 */
#include <stdio.h>
#include <windows.h>

static BOOL WINAPI ignore(DWORD event) { return event == CTRL_C_EVENT; }

static int fail(const char *what) {
  fprintf(stderr, "with-console: %s failed (%lu)\n", what, GetLastError());
  return 125;
}

/* The command line behind our own name, which is written without blanks. */
static char *rest(char *line) {
  while (*line != 0 && *line != ' ') line++;
  while (*line == ' ') line++;
  return line;
}

int main(void) {
  STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
  HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
  SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
  startup.hStdInput = CreateFileA("NUL", GENERIC_READ, 0, &inherited, OPEN_EXISTING, 0, NULL);
  startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
  startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
  FreeConsole();
  if (!AllocConsole()) return fail("AllocConsole");

  PROCESS_INFORMATION child;
  if (!CreateProcessA(NULL, rest(GetCommandLineA()), NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child)) {
    return fail("CreateProcess");
  }
  SetConsoleCtrlHandler(ignore, TRUE);
  char byte;
  DWORD count;
  while (ReadFile(input, &byte, 1, &count, NULL) && count > 0) {}
  if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)) return fail("GenerateConsoleCtrlEvent");
  WaitForSingleObject(child.hProcess, INFINITE);
  DWORD status = 1;
  GetExitCodeProcess(child.hProcess, &status);
  return (int)status;
}
