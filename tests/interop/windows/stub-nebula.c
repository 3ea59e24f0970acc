/* Says what Nebula says, and waits until it is ended. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "-test") == 0) return 0;
  puts("{\"level\":\"INFO\",\"msg\":\"Nebula interface is active\",\"interface\":\"disabled\","
       "\"networks\":[\"10.77.0.2/24\"],\"udpAddr\":\"0.0.0.0:1\"}");
  fflush(stdout);
  Sleep(INFINITE);
}
