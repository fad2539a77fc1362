/** Whether the address of this page is somebody's link. Then the page soon needs what others load later. */
export const isGuest = (): boolean => (new URLSearchParams(location.search).get('peer_id') ?? '') !== ''
