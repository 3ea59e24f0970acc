/* Says what Nebula says, and waits until it is ended. */
#include <stdio.h>
#include <windows.h>

int main(void) {
  puts("{\"level\":\"INFO\",\"msg\":\"Nebula interface is active\",\"interface\":\"disabled\","
       "\"networks\":[\"10.77.0.2/24\"],\"udpAddr\":\"0.0.0.0:1\"}");
  fflush(stdout);
  Sleep(INFINITE);
}
